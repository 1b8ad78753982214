-- What the rules of many places ask: where somebody may be, what she agreed to, on which lists she stands, what was
-- tried before; and what an operator changed in the rules.
SET LOCAL lock_timeout = '5s';

ALTER TABLE person
    ADD COLUMN address jsonb,                                   -- country, region, postal_code as they were told
    ADD COLUMN place_zones text[] NOT NULL DEFAULT '{}',        -- where she may be: derived from her word, her address
    ADD COLUMN place_regions text[] NOT NULL DEFAULT '{}',      -- and her numbers, by the tables of place_version
    ADD COLUMN place_evidence text NOT NULL DEFAULT 'none',
    ADD COLUMN place_version text NOT NULL DEFAULT '',
    ADD COLUMN opted_out_channels text[] NOT NULL DEFAULT '{}'; -- by which the refusals that stand were said
UPDATE person SET opted_out_channels = ARRAY[coalesce(split_part(opted_out_by, ':', 1), 'sms')]
WHERE opted_out_at IS NOT NULL;
CREATE INDEX person_review ON person (review_at) WHERE review_at IS NOT NULL;

-- An agreement has a class (PEC, PEWC, opt_in_electronic, soft_opt_in); a mere word about contact (STOP, START) has none.
ALTER TABLE consent
    ADD COLUMN class text CHECK (class IN ('PEC', 'PEWC', 'opt_in_electronic', 'soft_opt_in')),
    ADD COLUMN purposes text[] NOT NULL DEFAULT '{}',
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN disclosure_sha256 bytea;
ALTER TABLE contact_point ADD COLUMN consents text NOT NULL DEFAULT '[]';  -- JSON: what stands, derived from consent

CREATE TABLE dnc_entry (
    value text NOT NULL,                        -- E.164, or an e-mail address in lower case
    list text NOT NULL,
    channels text[] NOT NULL DEFAULT '{}',      -- empty: every channel
    expires_at timestamptz,
    added_at timestamptz NOT NULL DEFAULT now(),
    source text NOT NULL,
    PRIMARY KEY (value, list)
);
CREATE INDEX dnc_entry_list ON dnc_entry (list, added_at);

-- What operators changed in the rules, append-only: the newest of each rule counts.
CREATE TABLE rule_change (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id text NOT NULL,
    action text NOT NULL CHECK (action IN ('set', 'off', 'as_shipped')),
    rows jsonb NOT NULL DEFAULT '[]',           -- of `set`: the rows in place of the shipped ones
    by_whom text NOT NULL,
    why text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE attempt
    ADD COLUMN subject text,                    -- what it is about, for caps by subject; the case when there is one
    ADD COLUMN own_act_at timestamptz,          -- the person's own act that it answers
    ADD COLUMN connected_at timestamptz,        -- of a call: somebody or something answered
    ADD COLUMN conversation_at timestamptz;     -- of a call: it was spoken with the person
