-- People in distress: alerts to supervisors, a call on which no payment is taken any more, and callbacks with their reasons.
SET LOCAL lock_timeout = '5s';

-- Something a supervisor must look at. `about` makes it one: the conversation, else the callback or the person.
CREATE TABLE alert (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('distress', 'escalation', 'callback_overdue')),
    about text NOT NULL,
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
CREATE UNIQUE INDEX alert_open ON alert (kind, about) WHERE closed_at IS NULL;
CREATE INDEX alert_raised ON alert (raised_at DESC);
CREATE INDEX alert_person ON alert (person_id, raised_at DESC) WHERE person_id IS NOT NULL;

-- From this instant on no payment is begun or charged on the call, whoever asks.
ALTER TABLE conversation ADD COLUMN payment_off_at timestamptz, ADD COLUMN payment_off_why text;

-- Since when and why a person is held; until when stands in distress_until.
ALTER TABLE person ADD COLUMN distress_at timestamptz, ADD COLUMN distress_why text;
CREATE INDEX person_in_distress ON person (distress_at) WHERE distress_until IS NOT NULL;

-- What a recogniser wrote of a call: only where the settings say that it is kept, and without card numbers.
CREATE TABLE transcript_line (
    id uuid PRIMARY KEY,
    conversation_id uuid NOT NULL,
    participant text NOT NULL,
    text text NOT NULL,
    at timestamptz NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX transcript_line_conversation ON transcript_line (conversation_id, at);
CREATE INDEX transcript_line_kept ON transcript_line (kept_at);

-- `not_after` ends the window; `zone` is the one in which she named the time; `why` what the gate said, or why it is held.
ALTER TABLE callback
    ADD COLUMN kind text NOT NULL DEFAULT 'wish' CHECK (kind IN ('wish', 'agent', 'distress')),
    ADD COLUMN campaign text,
    ADD COLUMN not_after timestamptz,
    ADD COLUMN zone text,
    ADD COLUMN note text,
    ADD COLUMN why text,
    ADD COLUMN asked_by text,
    ADD COLUMN closed_by text,
    ADD COLUMN closed_at timestamptz;
CREATE UNIQUE INDEX callback_of_distress ON callback (conversation_id) WHERE kind = 'distress' AND state = 'waiting';
CREATE INDEX callback_closed ON callback (closed_at DESC) WHERE state <> 'waiting';
