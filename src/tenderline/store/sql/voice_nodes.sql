-- name: register
INSERT INTO voice_node (id, sip_address, calls_max, lease_until, calls_back)
VALUES ($1, $2, $3, now() + $4::interval, $5)

-- name: renew
-- A node that was declared gone does not come back under its old id: its calls are closed already.
UPDATE voice_node SET lease_until = now() + $2::interval, calls = $3, calls_back = $4
WHERE id = $1 AND state <> 'gone'
RETURNING state

-- name: drain
UPDATE voice_node SET state = 'draining' WHERE id = $1 AND state = 'up' RETURNING id

-- name: leave
UPDATE voice_node SET state = 'gone', calls = 0, lease_until = now() WHERE id = $1

-- name: bury
-- Whoever finds a node without a lease closes its calls; several finders share the work.
WITH dead AS (
    SELECT id FROM voice_node WHERE state <> 'gone' AND lease_until < now() FOR UPDATE SKIP LOCKED
)
UPDATE voice_node SET state = 'gone', calls = 0 FROM dead WHERE voice_node.id = dead.id RETURNING voice_node.id

-- name: orphans
-- Calls of nodes that are gone: what a node wrote last, just before or after it was declared so, is closed too.
SELECT c.id FROM conversation c JOIN voice_node n ON n.id = c.node_id
WHERE c.ended_at IS NULL AND n.state = 'gone' LIMIT 1000

-- name: all
SELECT id, sip_address, calls_max, calls, state, started_at, lease_until FROM voice_node
WHERE state <> 'gone' OR lease_until > now() - interval '1 hour' ORDER BY started_at
