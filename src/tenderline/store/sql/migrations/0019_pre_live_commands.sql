-- What is asked of calls that last, and payments that an agent starts on one.
SET LOCAL lock_timeout = '5s';

-- A row is addressed to the node that carries the call; NOTIFY only tells it to look.
CREATE TABLE live_command (
    id uuid PRIMARY KEY,
    node_id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    kind text NOT NULL,
    detail jsonb NOT NULL,
    asked_by text NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now(),
    not_after timestamptz NOT NULL,
    taken_at timestamptz,
    answered_at timestamptz,
    refused_code text,
    refused_detail text,
    answer jsonb
);
CREATE INDEX live_command_waiting ON live_command (node_id, asked_at) WHERE taken_at IS NULL;
CREATE INDEX live_command_asked ON live_command (asked_at);

-- A payment that an agent started: what it is for, how far it is, how it ended. No card data.
CREATE TABLE secure_session (
    id uuid PRIMARY KEY,
    conversation_id uuid NOT NULL,
    participant_id uuid NOT NULL,               -- who pays
    source_participant_id uuid NOT NULL,        -- the agent
    mode text NOT NULL CHECK (mode IN ('leave', 'attended')),
    flow text NOT NULL,
    disconnect boolean NOT NULL DEFAULT false,  -- the agent does not get the caller back
    user_data jsonb NOT NULL DEFAULT '{}',
    asked_by text NOT NULL,
    result text,
    capture_session_id uuid REFERENCES capture_session,
    brand text,
    last_four text CHECK (length(last_four) <= 4),
    progress jsonb NOT NULL DEFAULT '{}',
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
-- One at a time on a call.
CREATE UNIQUE INDEX secure_session_open ON secure_session (conversation_id) WHERE ended_at IS NULL;
CREATE INDEX secure_session_conversation ON secure_session (conversation_id, started_at);
