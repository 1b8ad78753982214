-- The telephone: nodes, lines, flows, and the timeline of every conversation.
SET LOCAL lock_timeout = '5s';

-- A process that carries calls. It renews its lease; one whose lease is over is gone, and its calls with it.
CREATE TABLE voice_node (
    id uuid PRIMARY KEY,
    sip_address text NOT NULL,
    calls_max integer NOT NULL,
    calls integer NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'up' CHECK (state IN ('up', 'draining', 'gone')),
    started_at timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz NOT NULL
);

-- A flow's versions are never changed: a call keeps the one it began with.
CREATE TABLE flow (
    name text NOT NULL,
    version integer NOT NULL,
    content text NOT NULL,
    digest bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    PRIMARY KEY (name, version)
);

-- Which number leads where.
CREATE TABLE telephone_line (
    number text PRIMARY KEY,
    campaign text NOT NULL,
    flow text NOT NULL,
    language text NOT NULL DEFAULT 'en',
    currency text NOT NULL DEFAULT 'USD',
    fund text,
    record boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL
);

-- A telephone that may register here, and the queues whose calls it takes.
CREATE TABLE telephone (
    name text PRIMARY KEY,
    ha1_md5 text NOT NULL,
    ha1_sha256 text NOT NULL,
    queues text[] NOT NULL DEFAULT '{}',
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE conversation (
    id uuid PRIMARY KEY,
    node_id uuid NOT NULL REFERENCES voice_node,
    direction text NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    person_id uuid REFERENCES person,
    attempt_id uuid,
    caller text,
    called text NOT NULL,
    campaign text,
    flow text,
    flow_version integer,
    attestation text,
    started_at timestamptz NOT NULL DEFAULT now(),
    answered_at timestamptz,
    ended_at timestamptz,
    ended_by text,
    why text,
    keys text
);
CREATE INDEX conversation_live ON conversation (node_id) WHERE ended_at IS NULL;
CREATE INDEX conversation_started ON conversation (started_at DESC);
CREATE INDEX conversation_person ON conversation (person_id, started_at DESC) WHERE person_id IS NOT NULL;

CREATE TABLE participant (
    conversation_id uuid NOT NULL REFERENCES conversation ON DELETE CASCADE,
    id uuid NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('caller', 'agent', 'external')),
    address text,
    joined_at timestamptz NOT NULL,
    left_at timestamptz,
    PRIMARY KEY (conversation_id, id)
);

CREATE TABLE segment (
    conversation_id uuid NOT NULL REFERENCES conversation ON DELETE CASCADE,
    ordinal integer NOT NULL,
    kind text NOT NULL
        CHECK (kind IN ('ivr', 'secure_ivr', 'provider_ivr', 'queue', 'agent', 'external', 'hold', 'wrapup')),
    detail text NOT NULL DEFAULT '',
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (conversation_id, ordinal)
);

CREATE TABLE flow_step (
    conversation_id uuid NOT NULL REFERENCES conversation ON DELETE CASCADE,
    ordinal integer NOT NULL,
    node text NOT NULL,
    step text NOT NULL,
    entered_at timestamptz NOT NULL,
    left_at timestamptz,
    exit text,
    PRIMARY KEY (conversation_id, ordinal)
);

-- `sensitive` recordings lie in a store of their own, for fewer roles. The key is sealed by the installation's.
CREATE TABLE recording (
    id uuid PRIMARY KEY,
    conversation_id uuid NOT NULL REFERENCES conversation ON DELETE CASCADE,
    sensitive boolean NOT NULL DEFAULT false,
    sealed_key bytea NOT NULL,
    path text NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'stored', 'failed', 'deleted')),
    why text,
    started_at timestamptz NOT NULL,
    duration_ms integer,
    marks jsonb NOT NULL DEFAULT '[]',
    delete_after timestamptz
);
CREATE INDEX recording_conversation ON recording (conversation_id);
CREATE INDEX recording_due ON recording (delete_after) WHERE state = 'stored';

-- Somebody wants to be called back; the gate is asked when it is due, as for every contact.
CREATE TABLE callback (
    id uuid PRIMARY KEY,
    person_id uuid REFERENCES person,
    conversation_id uuid REFERENCES conversation ON DELETE SET NULL,
    number text NOT NULL,
    due_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'cancelled')),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX callback_waiting ON callback (due_at) WHERE state = 'waiting';
