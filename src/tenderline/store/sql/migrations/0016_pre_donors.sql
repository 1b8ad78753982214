-- Who calls, as a CRM and we ourselves know it; the rules by which donors are put into segments.
SET LOCAL lock_timeout = '5s';

-- What was known of the caller of one conversation. A late answer still comes in here: the screen shows this row.
CREATE TABLE donor_snapshot (
    conversation_id uuid PRIMARY KEY,           -- its row is written with the timeline, perhaps later than this
    caller text,
    person_id uuid,
    crm text,                                   -- which kind was asked; null: our own database only
    state text NOT NULL CHECK (state IN ('asking', 'late', 'found', 'nobody', 'failed', 'skipped')),
    reason text,                                -- of what went wrong, in the words of crm/base.py
    detail text,
    is_late boolean NOT NULL DEFAULT false,     -- the call had gone on as that of an unknown donor
    took_ms integer,                            -- of the CRM's answer
    donor jsonb,
    segment text,
    segment_version integer,                    -- null: the rules as shipped
    segment_why text,
    asked_at timestamptz NOT NULL DEFAULT now(),
    answered_at timestamptz
);
CREATE INDEX donor_snapshot_newest ON donor_snapshot (asked_at DESC);

-- Every version of the rules of segments; the newest one counts.
CREATE TABLE segment_rules (
    version integer PRIMARY KEY,
    content text NOT NULL,
    digest bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL
);

-- By which number the CRM is asked about calls to a line.
ALTER TABLE telephone_line ADD COLUMN look_up_by text NOT NULL DEFAULT 'ANI'
    CHECK (look_up_by IN ('ANI', 'DNIS', 'none'));
