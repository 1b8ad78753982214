-- TEMPORARY stand-in of the table that comes with distress: only what the floor reads.
SET LOCAL lock_timeout = '5s';

CREATE TABLE alert (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('distress', 'escalation', 'callback_overdue')),
    conversation_id uuid,
    person_id uuid,
    detail jsonb NOT NULL DEFAULT '{}',
    raised_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    taken_by text,
    taken_at timestamptz,
    closed_by text,
    closed_at timestamptz,
    note text
);
CREATE INDEX alert_open ON alert (raised_at) WHERE closed_at IS NULL;
