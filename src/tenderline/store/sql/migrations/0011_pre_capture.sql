-- Payments that are taken on the telephone. No card data: a token, the brand and the last four are all that is known.
SET LOCAL lock_timeout = '5s';

-- One payment that a caller wants to make, with as many tries as it takes.
CREATE TABLE capture_session (
    id uuid PRIMARY KEY,
    person_id uuid NOT NULL REFERENCES person,
    conversation_id uuid NOT NULL,              -- its row is written with the timeline, perhaps later than this
    mode text NOT NULL CHECK (mode IN ('automated', 'leave', 'attended')),
    gateway text NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    campaign text,
    fund text,
    reference text NOT NULL UNIQUE,             -- what the caller is told
    state text NOT NULL DEFAULT 'open'
        CHECK (state IN ('open', 'charged', 'completed', 'declined', 'abandoned', 'cancelled', 'failed')),
    why text,
    declines smallint NOT NULL DEFAULT 0,
    contact_point_id uuid,                      -- where the receipt goes
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX capture_session_conversation ON capture_session (conversation_id, started_at);
CREATE INDEX capture_session_newest ON capture_session (started_at DESC);

-- One try with one card. Written before the gateway is asked; its id is the idempotency key. The transaction is made
-- first, without money moving, and can succeed once: so whatever becomes of the answer, it can be asked for.
CREATE TABLE charge (
    id uuid PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES capture_session,
    gateway text NOT NULL,
    transaction_id text,
    token text NOT NULL,
    brand text NOT NULL,
    last_four text NOT NULL CHECK (length(last_four) <= 4),
    state text NOT NULL DEFAULT 'intended' CHECK (state IN ('intended', 'taken', 'declined', 'refused', 'unknown')),
    reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    answered_at timestamptz
);
CREATE UNIQUE INDEX charge_transaction ON charge (gateway, transaction_id) WHERE transaction_id IS NOT NULL;
CREATE INDEX charge_session ON charge (session_id, created_at);
-- While one try may have taken money, no other is made.
CREATE UNIQUE INDEX charge_one_at_a_time ON charge (session_id) WHERE state IN ('intended', 'taken', 'unknown');
CREATE INDEX charge_in_doubt ON charge (created_at) WHERE state IN ('intended', 'unknown');

-- What a message says beside what its case tells.
ALTER TABLE attempt ADD COLUMN said jsonb;
