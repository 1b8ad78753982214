-- name: lock_agent
SELECT pg_advisory_xact_lock(hashtextextended('browser_phone ' || $1, 0))

-- name: node_for
-- The node that this user's call hangs on, though it takes no others; else the one that had her last session; else the
-- one with the fewest sessions.
WITH on_call AS (
    SELECT s.reach_node AS id FROM agent a JOIN agent_presence s ON s.agent_id = a.id
    WHERE a.user_id = $2 AND s.reach_kind = 'browser' AND s.node_id IS NOT NULL
), before AS (
    SELECT node_id AS id FROM browser_phone
    WHERE agent = $1 AND (state NOT IN ('replaced', 'ended') OR updated_at > now() - interval '5 minutes')
    ORDER BY created_at DESC LIMIT 1
)
SELECT n.id FROM voice_node n
LEFT JOIN browser_phone p ON p.node_id = n.id AND p.state NOT IN ('replaced', 'ended')
WHERE n.lease_until > now() AND (n.state = 'up' OR n.state = 'draining' AND n.id IN (SELECT id FROM on_call))
GROUP BY n.id
ORDER BY n.id IN (SELECT id FROM on_call) DESC, n.id IN (SELECT id FROM before) DESC, count(p.session_id), n.id LIMIT 1

-- name: replace
UPDATE browser_phone SET state = 'replaced', why = 'opened elsewhere', offer = '', answer = NULL, updated_at = now(), since = now(), wanted = NULL
WHERE agent = $1 AND state NOT IN ('replaced', 'ended') RETURNING node_id

-- name: forget
DELETE FROM browser_phone WHERE state IN ('replaced', 'ended') AND updated_at < now() - interval '1 day'

-- name: offer
INSERT INTO browser_phone (session_id, agent, user_id, node_id, offer, lease_until)
VALUES ($1, $2, $3, $4, $5, now() + $6::interval)

-- name: of_node
SELECT session_id, agent, CASE WHEN answer IS NULL THEN offer END AS offer, wanted, wanted_call,
    lease_until > now() AS is_leased
FROM browser_phone WHERE node_id = $1 AND state NOT IN ('replaced', 'ended') ORDER BY created_at LIMIT 2000

-- name: answered
UPDATE browser_phone SET answer = $2, offer = '', state = 'connecting', since = now(), updated_at = now()
WHERE session_id = $1 AND state = 'offered'

-- name: took
UPDATE browser_phone SET wanted = NULL, wanted_call = NULL WHERE session_id = $1 AND wanted = $2

-- name: tell
UPDATE browser_phone SET state = $2, call_id = $3, caller = $4, since = $5, updated_at = now()
WHERE session_id = $1 AND state NOT IN ('offered', 'replaced', 'ended')

-- name: end
UPDATE browser_phone SET state = 'ended', why = $2, offer = '', answer = NULL, since = now(), updated_at = now()
WHERE session_id = $1 AND state NOT IN ('replaced', 'ended')

-- name: ask
UPDATE browser_phone SET wanted = $4, wanted_call = $3, updated_at = now()
WHERE session_id = $1 AND user_id = $2 AND call_id = $3 AND state IN ('ringing', 'talking', 'away')
RETURNING node_id

-- name: beat
UPDATE browser_phone SET lease_until = now() + $3::interval
WHERE session_id = $1 AND user_id = $2 AND state NOT IN ('replaced', 'ended') RETURNING session_id

-- name: leave
UPDATE browser_phone SET state = 'ended', why = 'left', offer = '', answer = NULL, since = now(), updated_at = now()
WHERE session_id = $1 AND user_id = $2 AND state NOT IN ('replaced', 'ended') RETURNING node_id

-- name: shown
SELECT p.state, p.why, p.answer, p.call_id, p.caller, p.since, n.state <> 'gone' AND n.lease_until > now() AS node_is_up
FROM browser_phone p JOIN voice_node n ON n.id = p.node_id WHERE p.session_id = $1 AND p.user_id = $2

-- name: hint
SELECT pg_notify($1, $2)
