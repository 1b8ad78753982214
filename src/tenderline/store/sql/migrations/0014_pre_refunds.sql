-- Money that goes back, and money that nobody here can explain.
SET LOCAL lock_timeout = '5s';

-- One refund: asked for here, or seen at the gateway. Written before the gateway is asked; its id is the idempotency
-- key. It is `succeeded` only by the gateway's news.
CREATE TABLE refund (
    id uuid PRIMARY KEY,
    payment_id uuid NOT NULL,                   -- of a payment, which may move to another person
    gateway text NOT NULL,
    reference text,                             -- the gateway's own id of it
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    reason text NOT NULL,
    asked_by text,                              -- null: it was made at the gateway, not here
    state text NOT NULL DEFAULT 'intended'
        CHECK (state IN ('intended', 'taken', 'unknown', 'succeeded', 'refused', 'failed')),
    why text,
    told boolean NOT NULL DEFAULT false,        -- whether its receipt was planned
    created_at timestamptz NOT NULL DEFAULT now(),
    looked_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
CREATE INDEX refund_payment ON refund (payment_id, created_at);
CREATE UNIQUE INDEX refund_reference ON refund (gateway, reference) WHERE reference IS NOT NULL;
CREATE INDEX refund_open ON refund (looked_at) WHERE state IN ('intended', 'taken', 'unknown');

-- Money that nobody here can explain: one row for each reason, until somebody has settled it with a note.
CREATE TABLE unmatched_money (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    gateway text NOT NULL,
    subject text NOT NULL,                      -- what it is about: a transaction, a charge or a refund
    transaction_id text,
    payment_id uuid,
    session_id uuid REFERENCES capture_session,
    amount_minor bigint,
    currency text,
    expected_minor bigint,                      -- what was asked for, where that is another sum
    expected_currency text,
    found_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    settled_by text,
    note text,
    UNIQUE (kind, gateway, subject)
);
CREATE INDEX unmatched_money_open ON unmatched_money (found_at, id) WHERE settled_at IS NULL;

-- Charged, and the money not told of yet: looked for every quarter of a minute.
CREATE INDEX capture_session_charged ON capture_session (updated_at) WHERE state = 'charged';
