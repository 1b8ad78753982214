-- name: all
-- Grouped once for all of them: a floor asks for it with every redraw.
SELECT a.id, a.name, a.user_id, a.telephone, a.automatic, a.enabled,
    coalesce(q.queues, '{}') AS queues, coalesce(k.skills, '{}') AS skills,
    p.state, p.reason, p.since, p.until, p.next_state, p.next_reason, p.node_id, p.conversation_id, p.queue,
    p.reach_kind, coalesce(p.reach_until > now(), false) AS is_reachable
FROM agent a JOIN agent_presence p ON p.agent_id = a.id
LEFT JOIN (SELECT agent_id, array_agg(queue ORDER BY queue) AS queues FROM agent_queue GROUP BY agent_id) AS q
    ON q.agent_id = a.id
LEFT JOIN (
    SELECT agent_id, jsonb_object_agg(skill, proficiency) AS skills FROM agent_skill GROUP BY agent_id
) AS k ON k.agent_id = a.id
ORDER BY a.name

-- name: one
SELECT a.id, a.name, a.user_id, a.telephone, a.automatic, a.enabled,
    ARRAY(SELECT q.queue FROM agent_queue q WHERE q.agent_id = a.id ORDER BY q.queue) AS queues,
    (SELECT coalesce(jsonb_object_agg(k.skill, k.proficiency), '{}') FROM agent_skill k WHERE k.agent_id = a.id) AS skills,
    p.state, p.reason, p.since, p.until, p.next_state, p.next_reason, p.node_id, p.conversation_id, p.queue,
    p.reach_kind, coalesce(p.reach_until > now(), false) AS is_reachable
FROM agent a JOIN agent_presence p ON p.agent_id = a.id
WHERE a.id = $1

-- name: of_user
SELECT id FROM agent WHERE user_id = $1

-- name: make
INSERT INTO agent (id, name, user_id, telephone, automatic) VALUES ($1, $2, $3, $4, $5)

-- name: make_presence
INSERT INTO agent_presence (agent_id) VALUES ($1)

-- name: change
UPDATE agent SET name = $2, user_id = $3, telephone = $4, enabled = $5, automatic = false WHERE id = $1 RETURNING id

-- name: leave_telephone
-- Nobody reaches her by the telephone that she had; where she has another, its node says so.
UPDATE agent_presence SET reach_node = NULL, reach_until = NULL, reach_kind = NULL, reach_user = NULL,
    reach_host = NULL, reach_port = NULL, reach_direct = false
WHERE agent_id = $1 AND reach_kind = 'telephone'

-- name: enable
UPDATE agent SET enabled = $2 WHERE id = $1

-- name: of_telephone
SELECT id, automatic FROM agent WHERE telephone = $1 FOR UPDATE

-- name: name_taken
SELECT EXISTS (SELECT FROM agent WHERE name = $1 AND id <> $2)

-- name: is_busy
SELECT node_id IS NOT NULL FROM agent_presence WHERE agent_id = $1 FOR UPDATE

-- name: remove
DELETE FROM agent WHERE id = $1 RETURNING name

-- name: clear_queues
DELETE FROM agent_queue WHERE agent_id = $1 AND NOT queue = ANY($2::text[])

-- name: add_queues
INSERT INTO agent_queue (agent_id, queue) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING

-- name: clear_skills
DELETE FROM agent_skill WHERE agent_id = $1 AND NOT skill = ANY($2::text[])

-- name: put_skills
INSERT INTO agent_skill (agent_id, skill, proficiency)
SELECT $1, k.skill, k.proficiency FROM unnest($2::text[], $3::smallint[]) AS k (skill, proficiency)
ON CONFLICT (agent_id, skill) DO UPDATE SET proficiency = EXCLUDED.proficiency

-- name: for_email
SELECT u.id AS user_id, a.id AS agent_id FROM app_user u LEFT JOIN agent a ON a.user_id = u.id AND a.enabled
WHERE u.email = $1
