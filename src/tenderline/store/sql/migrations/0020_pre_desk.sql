-- The agent's desk: how calls end and what follows, what she may read out, and a hint whenever an agent's state changes.
SET LOCAL lock_timeout = '5s';

-- A way for a call to end. `next_action` is carried out when it is chosen; `after_days` and `local_time` say when.
-- Empty `queues` or `flows`: of all of them. `key` is chosen by Alt and the digit.
CREATE TABLE disposition (
    code text PRIMARY KEY CHECK (code ~ '^[a-z][a-z0-9_]{0,39}$'),
    title text NOT NULL CHECK (title <> ''),
    key smallint UNIQUE CHECK (key BETWEEN 1 AND 9),
    next_action text NOT NULL CHECK (next_action IN ('none', 'callback', 'promise', 'opt_out', 'wrong_number')),
    after_days smallint CHECK (after_days BETWEEN 0 AND 31),
    local_time time,
    asked_for boolean NOT NULL DEFAULT false,   -- the person asked for the callback herself
    queues text[] NOT NULL DEFAULT '{}',
    flows text[] NOT NULL DEFAULT '{}',
    enabled boolean NOT NULL DEFAULT true,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL,
    CHECK (next_action NOT IN ('callback', 'promise') OR (after_days IS NOT NULL AND local_time IS NOT NULL))
);

INSERT INTO disposition (code, title, key, next_action, after_days, local_time, asked_for, updated_by) VALUES
    ('settled', 'Settled', 1, 'none', NULL, NULL, false, 'migration'),
    ('promise_to_pay', 'Promise to pay', 2, 'promise', 7, '09:00', false, 'migration'),
    ('call_back', 'Wants to be called back', 3, 'callback', 1, '10:00', true, 'migration'),
    ('no_answer', 'Nobody there', 4, 'callback', 2, '10:00', false, 'migration'),
    ('wrong_number', 'Wrong number', 5, 'wrong_number', NULL, NULL, false, 'migration'),
    ('never_call', 'Wants no more contact', 6, 'opt_out', NULL, NULL, false, 'migration');

-- What was chosen, by each agent who was on the call. `done` is what was done for it, so that another choice undoes it.
CREATE TABLE conversation_disposition (
    conversation_id uuid NOT NULL,              -- its row is written with the timeline, perhaps later than this
    agent_id uuid NOT NULL REFERENCES agent ON DELETE CASCADE,
    code text NOT NULL,
    title text NOT NULL,
    chosen_by text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    note text NOT NULL DEFAULT '',
    next_action text NOT NULL,
    due_at timestamptz,
    next_words text NOT NULL,
    done jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (conversation_id, agent_id)
);
CREATE INDEX conversation_disposition_at ON conversation_disposition (at DESC);

-- What an agent may say. The newest version of a name counts; the campaign's own goes before the queue's, and that
-- before the one for all.
CREATE TABLE script (
    name text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$'),
    version integer NOT NULL,
    title text NOT NULL,
    steps jsonb NOT NULL,
    queues text[] NOT NULL DEFAULT '{}',
    campaigns text[] NOT NULL DEFAULT '{}',
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    PRIMARY KEY (name, version)
);
INSERT INTO script (name, version, title, steps, created_by) VALUES ('donation', 1, 'A gift', '[
    {"title": "Greet", "text": "Thank you for calling {organisation}. My name is {agent}. With whom am I speaking?"},
    {"title": "Listen", "text": "What made you think of us today? If it is about {fund}, tell in one sentence what a gift does."},
    {"title": "Agree on the gift", "text": "What would you like to give? I repeat the amount before anything is paid."},
    {"title": "Take the payment", "text": "Please key your card in on your telephone. I cannot hear it, and it is not recorded."},
    {"title": "Thank", "text": "Thank you, {name}. You hear from us as soon as the bank has confirmed it."}
]', 'migration');

-- The last thing that was asked of a call is shown on its agent's desk.
CREATE INDEX live_command_conversation ON live_command (conversation_id, asked_at);

-- Screens look when an agent's state changes, whoever changed it: a node, the match, a supervisor or she herself.
CREATE FUNCTION tell_presence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tenderline_event', '');
    RETURN NULL;
END $$;
CREATE TRIGGER presence_is_told AFTER UPDATE ON agent_presence FOR EACH ROW
    WHEN ((OLD.state, OLD.reason, OLD.until, OLD.next_state, OLD.conversation_id, OLD.reach_node)
        IS DISTINCT FROM (NEW.state, NEW.reason, NEW.until, NEW.next_state, NEW.conversation_id, NEW.reach_node))
    EXECUTE FUNCTION tell_presence();
