-- Agents' browsers as telephones: one row for each session, between the page that offers and the node that answers.
SET LOCAL lock_timeout = '5s';

CREATE TABLE browser_phone (
    session_id uuid PRIMARY KEY,
    agent text NOT NULL,                        -- who is reached by it: the user's e-mail address
    user_id uuid NOT NULL REFERENCES app_user (id) ON DELETE CASCADE,
    node_id uuid NOT NULL REFERENCES voice_node (id),
    state text NOT NULL DEFAULT 'offered'
        CHECK (state IN ('offered', 'connecting', 'ready', 'ringing', 'talking', 'away', 'replaced', 'ended')),
    why text,                                   -- of a session that ended
    offer text NOT NULL,
    answer text,
    call_id uuid,                               -- of the call that rings or lasts; a command names it
    caller text,
    since timestamptz NOT NULL DEFAULT now(),   -- of this state
    wanted text CHECK (wanted IN ('accept', 'decline', 'hang_up')),
    wanted_call uuid,
    lease_until timestamptz NOT NULL,           -- the page says that it is there; without that no new call comes
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX browser_phone_live ON browser_phone (agent) WHERE state NOT IN ('replaced', 'ended');
CREATE INDEX browser_phone_of_node ON browser_phone (node_id) WHERE state NOT IN ('replaced', 'ended');
CREATE INDEX browser_phone_over ON browser_phone (updated_at) WHERE state IN ('replaced', 'ended');
