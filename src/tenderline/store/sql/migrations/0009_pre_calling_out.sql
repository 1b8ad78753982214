-- Calls that we make: what is said in them or who speaks, and an index each for what workers and voice nodes take.
SET LOCAL lock_timeout = '5s';

-- `flow`: whoever answers hears this flow. `queue`: an agent of this queue calls. One of the two.
CREATE TABLE calling_campaign (
    name text PRIMARY KEY,
    flow text,
    machine_flow text,                          -- what an answering machine is told; without it, nothing
    queue text,
    caller_id text NOT NULL,
    purpose text NOT NULL,
    language text NOT NULL DEFAULT 'en',
    currency text NOT NULL DEFAULT 'USD',
    fund text,
    ring_s smallint NOT NULL DEFAULT 25 CHECK (ring_s BETWEEN 15 AND 90),
    enabled boolean NOT NULL DEFAULT true,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL,
    CHECK ((flow IS NULL) <> (queue IS NULL)),
    CHECK (machine_flow IS NULL OR flow IS NOT NULL)
);

CREATE INDEX attempt_due_message ON attempt (due_at)
    WHERE state = 'planned' AND channel NOT IN ('voice_live', 'voice_artificial');
CREATE INDEX attempt_due_call ON attempt (due_at)
    WHERE state = 'planned' AND channel IN ('voice_live', 'voice_artificial');
CREATE INDEX conversation_attempt ON conversation (attempt_id) WHERE attempt_id IS NOT NULL;

ALTER TABLE segment DROP CONSTRAINT segment_kind_check, ADD CONSTRAINT segment_kind_check CHECK (
    kind IN ('dialing', 'ivr', 'secure_ivr', 'provider_ivr', 'queue', 'agent', 'external', 'hold', 'wrapup')
);

-- The call that answers the wish.
ALTER TABLE callback ADD COLUMN attempt_id uuid;

-- By this name flows ask an endpoint; one that is asked is told of nothing.
ALTER TABLE webhook_endpoint ADD COLUMN name text UNIQUE;

-- Answers to requests that send, charge or dial: asked again with the same key, the same answer, and nothing twice.
CREATE TABLE answered_request (
    client text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    digest bytea NOT NULL,
    answer jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (client, route, key)
);
CREATE INDEX answered_request_at ON answered_request (at);

-- A word by key press or by an agent was kept under the channel of one kind of call; it is about all of them.
UPDATE person SET opted_out_channels = array_replace(opted_out_channels, 'voice_live', 'voice')
WHERE 'voice_live' = ANY(opted_out_channels);
UPDATE consent SET channel = 'voice' WHERE channel = 'voice_live';
UPDATE person SET opted_out_by = 'voice' || substr(opted_out_by, 11) WHERE opted_out_by LIKE 'voice\_live:%';
