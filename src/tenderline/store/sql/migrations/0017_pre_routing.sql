-- Queues: who waits, who may take whom, and what each agent does. One transaction matches them (`routing/queues.py`).
SET LOCAL lock_timeout = '5s';

-- `rings`: from which second on whom a caller may reach; they only ever widen (`core/queue_rings.py`).
CREATE TABLE queue (
    name text PRIMARY KEY,
    title text NOT NULL,
    rings jsonb NOT NULL DEFAULT '[]',
    tiers jsonb NOT NULL DEFAULT '{}',          -- how many steps of priority a tier is worth here
    ring_s smallint NOT NULL DEFAULT 20 CHECK (ring_s BETWEEN 5 AND 60),
    wrap_up_s integer NOT NULL DEFAULT 0 CHECK (wrap_up_s BETWEEN 0 AND 3600),
    service_level_s integer NOT NULL DEFAULT 20 CHECK (service_level_s BETWEEN 1 AND 3600),
    service_level_percent smallint NOT NULL DEFAULT 80 CHECK (service_level_percent BETWEEN 1 AND 100),
    wait_max_s integer CHECK (wait_max_s BETWEEN 5 AND 7200),
    callback_after_s integer CHECK (callback_after_s BETWEEN 0 AND 7200),
    last_agent_wait_s integer NOT NULL DEFAULT 0 CHECK (last_agent_wait_s BETWEEN 0 AND 300),
    comfort text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL
);

CREATE TABLE skill (
    name text PRIMARY KEY,
    title text NOT NULL DEFAULT ''
);

-- `automatic`: made for a telephone that has queues of its own and belongs to no user.
CREATE TABLE agent (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    user_id uuid UNIQUE REFERENCES app_user,
    telephone text UNIQUE REFERENCES telephone,
    automatic boolean NOT NULL DEFAULT false,
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (NOT automatic OR (user_id IS NULL AND telephone IS NOT NULL))
);

CREATE TABLE agent_queue (
    agent_id uuid NOT NULL REFERENCES agent ON DELETE CASCADE,
    queue text NOT NULL REFERENCES queue ON DELETE CASCADE,
    PRIMARY KEY (agent_id, queue)
);
CREATE INDEX agent_queue_queue ON agent_queue (queue);

CREATE TABLE agent_skill (
    agent_id uuid NOT NULL REFERENCES agent ON DELETE CASCADE,
    skill text NOT NULL REFERENCES skill,
    proficiency smallint NOT NULL CHECK (proficiency BETWEEN 1 AND 5),
    PRIMARY KEY (agent_id, skill)
);
CREATE INDEX agent_skill_skill ON agent_skill (skill);

-- What an agent does now, and where she is reached: `reach_node` knows her telephone or her browser.
-- `until`: then a pause of ours is over by itself. `next_state`: what she wants to be after this call.
CREATE TABLE agent_presence (
    agent_id uuid PRIMARY KEY REFERENCES agent ON DELETE CASCADE,
    state text NOT NULL DEFAULT 'offline' CHECK (state IN (
        'available', 'reserved', 'ringing', 'on_call', 'wrap_up', 'away', 'offline', 'distress')),
    reason text,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    until timestamptz,
    next_state text CHECK (next_state IN ('away', 'offline')),
    next_reason text,
    node_id uuid,
    conversation_id uuid,
    queue text,
    reach_node uuid,
    reach_until timestamptz,
    reach_kind text CHECK (reach_kind IN ('telephone', 'browser')),
    reach_user text,
    reach_host text,
    reach_port integer,
    reach_direct boolean NOT NULL DEFAULT false,
    -- Whoever is busy is busy with a call of some node: when that node is gone, she is free again.
    CHECK (state NOT IN ('reserved', 'ringing', 'on_call') OR (conversation_id IS NOT NULL AND node_id IS NOT NULL))
);
CREATE INDEX agent_presence_free ON agent_presence (since) WHERE state = 'available';
CREATE INDEX agent_presence_until ON agent_presence (until) WHERE until IS NOT NULL;
CREATE INDEX agent_presence_node ON agent_presence (node_id) WHERE node_id IS NOT NULL;
CREATE INDEX agent_presence_reach ON agent_presence (reach_node) WHERE reach_node IS NOT NULL;

-- What agents did before: for reports. Written by the database itself, so that nothing changes without a trace.
CREATE TABLE presence_past (
    agent_id uuid NOT NULL REFERENCES agent ON DELETE CASCADE,
    began_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    state text NOT NULL,
    reason text,
    queue text,
    conversation_id uuid
);
CREATE INDEX presence_past_agent ON presence_past (agent_id, began_at DESC);
CREATE INDEX presence_past_began ON presence_past USING brin (began_at);

CREATE FUNCTION keep_presence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.since := clock_timestamp();
    INSERT INTO presence_past (agent_id, began_at, ended_at, state, reason, queue, conversation_id)
    VALUES (OLD.agent_id, OLD.since, NEW.since, OLD.state, OLD.reason, OLD.queue, OLD.conversation_id);
    RETURN NEW;
END $$;
CREATE TRIGGER presence_is_kept BEFORE UPDATE ON agent_presence FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state OR OLD.reason IS DISTINCT FROM NEW.reason)
    EXECUTE FUNCTION keep_presence();

-- Somebody in line. `rank_at`: entered, less the head start of its priority; who has the earliest is next.
-- `kept_at`: hung up, and keeps the place; no node has this one. `returned`: was offered to an agent who did not answer.
-- No reference to `conversation`: its row may be written later than this one, and waits for nobody.
CREATE TABLE waiting (
    id uuid PRIMARY KEY,
    conversation_id uuid NOT NULL,
    node_id uuid,
    queue text NOT NULL,
    caller text,
    entered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    rank_at timestamptz NOT NULL,
    priority smallint NOT NULL DEFAULT 0 CHECK (priority BETWEEN 0 AND 10),
    tier text,
    skills text[] NOT NULL DEFAULT '{}',
    ring_min smallint NOT NULL DEFAULT 0,       -- narrower rings are skipped: nobody is logged in for them
    ring smallint NOT NULL DEFAULT 0,           -- by which the agent was found
    overflowed boolean NOT NULL DEFAULT false,  -- found in a queue that was joined later: shown as Priority
    preferred_agent uuid,
    preferred_until timestamptz,
    kept_at timestamptz,
    callback_id uuid REFERENCES callback ON DELETE SET NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'offered', 'connected', 'left')),
    returned boolean NOT NULL DEFAULT false,
    offers smallint NOT NULL DEFAULT 0,
    agent_id uuid REFERENCES agent ON DELETE SET NULL,
    offered_at timestamptz,
    connected_at timestamptz,
    left_at timestamptz,
    outcome text,
    CHECK ((state = 'left') = (left_at IS NOT NULL))
);
CREATE INDEX waiting_in_line ON waiting (queue, rank_at) WHERE state = 'waiting';
CREATE INDEX waiting_of_node ON waiting (node_id) WHERE state <> 'left';
CREATE INDEX waiting_entered ON waiting (queue, entered_at);
CREATE INDEX waiting_connected ON waiting (queue, connected_at) WHERE connected_at IS NOT NULL;
CREATE INDEX waiting_caller ON waiting (caller, connected_at DESC) WHERE connected_at IS NOT NULL;
CREATE INDEX waiting_conversation ON waiting (conversation_id);
-- Never one agent twice, whatever the programs do.
CREATE UNIQUE INDEX waiting_one_agent ON waiting (agent_id) WHERE state IN ('offered', 'connected');

-- What works today goes on: queues that telephones and campaigns name exist, telephones with queues are agents.
INSERT INTO queue (name, title, updated_by)
SELECT DISTINCT name, name, 'migration' FROM (
    SELECT unnest(queues) AS name FROM telephone UNION SELECT queue FROM calling_campaign WHERE queue IS NOT NULL
) AS named;
INSERT INTO agent (id, name, telephone, automatic, enabled)
SELECT gen_random_uuid(), name, name, true, enabled FROM telephone WHERE queues <> '{}';
INSERT INTO agent_queue (agent_id, queue)
SELECT DISTINCT a.id, q.name FROM agent a JOIN telephone t ON t.name = a.telephone CROSS JOIN unnest(t.queues) AS q (name);
INSERT INTO agent_presence (agent_id) SELECT id FROM agent;
