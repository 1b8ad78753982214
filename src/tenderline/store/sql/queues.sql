-- name: all
SELECT name, title, rings, tiers, ring_s, wrap_up_s, service_level_s, service_level_percent, wait_max_s,
    callback_after_s, last_agent_wait_s, updated_at, updated_by
FROM queue ORDER BY name

-- name: one
SELECT name, title, rings, tiers, ring_s, wrap_up_s, service_level_s, service_level_percent, wait_max_s,
    callback_after_s, last_agent_wait_s, updated_at, updated_by
FROM queue WHERE name = $1

-- name: put
INSERT INTO queue (name, title, rings, tiers, ring_s, wrap_up_s, service_level_s, service_level_percent, wait_max_s,
    callback_after_s, last_agent_wait_s, updated_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (name) DO UPDATE SET title = $2, rings = $3, tiers = $4, ring_s = $5, wrap_up_s = $6, service_level_s = $7,
    service_level_percent = $8, wait_max_s = $9, callback_after_s = $10, last_agent_wait_s = $11,
    updated_by = $12, updated_at = now()

-- name: ensure
INSERT INTO queue (name, title, updated_by) SELECT name, name, $2 FROM unnest($1::text[]) AS wanted (name)
ON CONFLICT DO NOTHING RETURNING name

-- name: lock
SELECT name FROM queue WHERE name = $1 FOR UPDATE

-- name: uses
-- What keeps a queue from being deleted.
SELECT
    (SELECT count(*) FROM waiting WHERE queue = $1 AND state IN ('waiting', 'offered')) AS callers,
    (SELECT count(*) FROM waiting WHERE queue = $1 AND state = 'connected') AS talking,
    (SELECT count(*) FROM agent_queue WHERE queue = $1) AS agents,
    ARRAY(SELECT name FROM calling_campaign WHERE queue = $1 ORDER BY name) AS campaigns,
    ARRAY(
        SELECT q.name FROM queue q
        WHERE q.name <> $1
          AND EXISTS (SELECT FROM jsonb_array_elements(q.rings) AS ring WHERE ring -> 'queuesJoined' ? $1)
        ORDER BY q.name
    ) AS joined_by

-- name: remove
DELETE FROM queue WHERE name = $1

-- name: skills
SELECT s.name, s.title, count(k.agent_id)::int AS agents
FROM skill s LEFT JOIN agent_skill k ON k.skill = s.name GROUP BY s.name ORDER BY s.name

-- name: put_skill
INSERT INTO skill (name, title) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET title = $2

-- name: skill_agents
SELECT count(*) FROM agent_skill WHERE skill = $1

-- name: remove_skill
DELETE FROM skill WHERE name = $1 RETURNING name
