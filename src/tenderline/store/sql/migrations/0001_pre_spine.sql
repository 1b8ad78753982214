-- The spine: people, payments, cases, attempts, what was received, what happened, and who did what.
-- Every table of a person's data carries person_id in its key, so that it can be sharded by person later.
SET LOCAL lock_timeout = '5s';

CREATE TABLE person (
    id uuid PRIMARY KEY,
    name text,
    locale text,
    zone text,                                  -- what the person said of herself; rules alone
    number_zones text[] NOT NULL DEFAULT '{}',  -- every zone her numbers may lie in
    opted_out_at timestamptz,
    opted_out_by text,                          -- the channel and address the word came by
    distress_until timestamptz,
    last_contacted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- One address reaches one party: two donors behind one telephone are one party to the gate, which is the stricter way.
CREATE TABLE contact_point (
    person_id uuid NOT NULL REFERENCES person,
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('phone', 'email', 'push')),
    value text NOT NULL,
    state text NOT NULL DEFAULT 'usable' CHECK (state IN ('usable', 'unusable')),
    state_why text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (person_id, id)
);
CREATE UNIQUE INDEX contact_point_value ON contact_point (kind, value);

-- How others name the person: a gateway's customer id, a CRM's contact id.
CREATE TABLE person_reference (
    person_id uuid NOT NULL REFERENCES person,
    source text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (source, value)
);
CREATE INDEX person_reference_person ON person_reference (person_id);

-- Append-only: what the person agreed to or took back, with the evidence.
CREATE TABLE consent (
    person_id uuid NOT NULL REFERENCES person,
    id uuid NOT NULL,
    channel text NOT NULL,
    address text NOT NULL,
    granted boolean NOT NULL,
    how text NOT NULL,
    evidence text,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (person_id, id)
);

-- Raw webhooks, kept before they are understood. `subject` names what unread news is about: the gate waits for it.
CREATE TABLE inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    event_id text NOT NULL,
    event_type text NOT NULL,
    urgency smallint NOT NULL,
    subject text,
    body bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL DEFAULT 'unread' CHECK (state IN ('unread', 'read', 'dead', 'discarded')),
    tries smallint NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL DEFAULT now(),
    read_at timestamptz,
    error text
);
CREATE UNIQUE INDEX inbox_event ON inbox (source, event_id);
CREATE INDEX inbox_unread ON inbox (urgency, id) WHERE state = 'unread';
-- What could not be read holds contacts too, until somebody replays or discards it.
CREATE INDEX inbox_unread_subject ON inbox (subject) WHERE state IN ('unread', 'dead') AND subject IS NOT NULL;
CREATE INDEX inbox_dead ON inbox (id) WHERE state = 'dead';

CREATE TABLE payment (
    person_id uuid NOT NULL REFERENCES person,
    id uuid NOT NULL,
    gateway text NOT NULL,
    transaction_id text NOT NULL,
    status text NOT NULL,
    transaction_status text NOT NULL CHECK (transaction_status IN ('PENDING', 'COMPLETED', 'FAILED')),
    amount_minor bigint,
    currency text,
    reason text,
    invoice_reference text,
    subscription_reference text,
    payer_conflict boolean NOT NULL DEFAULT false,  -- the payer's addresses belong to two people
    observed jsonb NOT NULL,                    -- the fold of everything the gateway said; see payments/session.py
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (person_id, id)
);
CREATE INDEX payment_id ON payment (id);
CREATE UNIQUE INDEX payment_transaction ON payment (gateway, transaction_id);
CREATE INDEX payment_invoice ON payment (gateway, invoice_reference) WHERE invoice_reference IS NOT NULL;
CREATE INDEX payment_subscription ON payment (gateway, subscription_reference)
    WHERE subscription_reference IS NOT NULL;

-- A stop that may come before the failure it stops: an ended subscription.
CREATE TABLE gateway_stop (
    gateway text NOT NULL,
    reference text NOT NULL,
    event_id text NOT NULL,
    occurred_at_unix_s bigint NOT NULL,
    PRIMARY KEY (gateway, reference)
);

CREATE TABLE recovery_case (
    person_id uuid NOT NULL REFERENCES person,
    id uuid NOT NULL,
    payment_id uuid NOT NULL,
    gateway text NOT NULL,
    transaction_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'held', 'recovered', 'stopped', 'exhausted')),
    held_why text,
    held_by text,                               -- 'system', or the user who holds it
    reason text NOT NULL,
    amount_minor bigint,
    currency text,
    attempt_count smallint NOT NULL DEFAULT 0,
    next_retry_window timestamptz,
    disposition text,
    policy text NOT NULL,
    custom_properties jsonb NOT NULL DEFAULT '{}',
    opened_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz,
    PRIMARY KEY (person_id, id)
);
CREATE INDEX recovery_case_id ON recovery_case (id);
CREATE UNIQUE INDEX recovery_case_open ON recovery_case (gateway, transaction_id) WHERE state IN ('open', 'held');
CREATE INDEX recovery_case_payment ON recovery_case (payment_id);
CREATE INDEX recovery_case_newest ON recovery_case (opened_at DESC, id DESC);
CREATE INDEX recovery_case_held ON recovery_case (opened_at) WHERE state = 'held';

-- Every contact that may leave. `fence` counts the leases: a worker that lost its lease cannot record over its successor.
CREATE TABLE attempt (
    person_id uuid NOT NULL REFERENCES person,
    id uuid NOT NULL,
    case_id uuid,
    channel text NOT NULL,
    purpose text NOT NULL,
    contact_point_id uuid NOT NULL,
    template text NOT NULL,
    due_at timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'planned' CHECK (
        state IN ('planned', 'leased', 'accepted', 'delivered', 'failed', 'suppressed', 'in_doubt')
    ),
    tries smallint NOT NULL DEFAULT 0,
    fence integer NOT NULL DEFAULT 0,
    lease_until timestamptz,
    handed_over_at timestamptz,                 -- the send may have begun: from here on a crash means in_doubt
    check_at timestamptz,                       -- when the provider is asked next (in_doubt, or a receipt that is late)
    contacted_at timestamptz,                   -- what the lease wrote into person.last_contacted_at,
    contacted_before timestamptz,               -- and what stood there before: put back if it surely did not leave
    provider text,
    provider_ref text,
    message jsonb,                              -- what was handed over, so that the provider can be asked about it
    decision jsonb,
    why text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (person_id, id)
) WITH (fillfactor = 85);
CREATE INDEX attempt_due ON attempt (due_at) WHERE state = 'planned';
CREATE INDEX attempt_leased ON attempt (lease_until) WHERE state = 'leased';
CREATE INDEX attempt_check ON attempt (check_at) WHERE state IN ('in_doubt', 'accepted') AND check_at IS NOT NULL;
CREATE INDEX attempt_id ON attempt (id);
CREATE INDEX attempt_case ON attempt (case_id, created_at);
CREATE UNIQUE INDEX attempt_provider_ref ON attempt (provider, provider_ref) WHERE provider_ref IS NOT NULL;

-- What happened, in the past tense: the timeline, the board and the reactions read it.
CREATE TABLE event (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    person_id uuid,
    payment_id uuid,
    case_id uuid,
    attempt_id uuid,
    at timestamptz NOT NULL DEFAULT now(),
    data jsonb NOT NULL
);
CREATE INDEX event_case ON event (case_id, id) WHERE case_id IS NOT NULL;
CREATE INDEX event_person ON event (person_id, id) WHERE person_id IS NOT NULL;
CREATE INDEX event_payment ON event (payment_id, id) WHERE payment_id IS NOT NULL;

-- Tamper-evident: each row's hash covers the row before it. INSERT only.
CREATE TABLE audit (
    number bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    data jsonb NOT NULL,
    hash bytea NOT NULL
);
CREATE TABLE audit_head (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    number bigint NOT NULL,
    hash bytea NOT NULL
);
INSERT INTO audit_head (number, hash) VALUES (0, '\x0000000000000000000000000000000000000000000000000000000000000000');

CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log takes new rows only';
END
$$;
CREATE TRIGGER audit_insert_only BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_insert_only_truncate BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();

CREATE TABLE app_user (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name text NOT NULL,
    password_hash text NOT NULL,
    role text NOT NULL CHECK (role IN ('viewer', 'agent', 'supervisor', 'compliance', 'engineer', 'admin')),
    disabled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE session (
    token_hash bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES app_user ON DELETE CASCADE,
    csrf_token text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX session_expires ON session (expires_at);

CREATE TABLE oauth_client (
    id text PRIMARY KEY,
    name text NOT NULL,
    secret_hash text NOT NULL,
    scopes text[] NOT NULL,
    disabled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE oauth_token (
    token_hash bytea PRIMARY KEY,
    client_id text NOT NULL REFERENCES oauth_client ON DELETE CASCADE,
    scopes text[] NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX oauth_token_expires ON oauth_token (expires_at);

-- Counters of requests in fixed windows, shared by all API processes. Losing them in a crash is harmless.
CREATE UNLOGGED TABLE rate_window (
    subject text NOT NULL,
    window_start timestamptz NOT NULL,
    count integer NOT NULL,
    PRIMARY KEY (subject, window_start)
);

-- Small facts about the running system: which processes live, what was counted.
CREATE UNLOGGED TABLE counter (
    name text PRIMARY KEY,
    value bigint NOT NULL
);
