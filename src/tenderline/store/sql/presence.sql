-- name: reached
-- Telephones that a node knows. A telephone that is an agent by itself takes calls from now on. Whose browser is there
-- is reached by that.
UPDATE agent_presence p SET
    reach_node = $1, reach_kind = 'telephone', reach_until = clock_timestamp() + make_interval(secs => t.lasting_s),
    reach_user = t.username, reach_host = t.host, reach_port = t.port, reach_direct = t.direct,
    state = CASE WHEN a.automatic AND p.state = 'offline' THEN 'available' ELSE p.state END
FROM unnest($2::text[], $3::float8[], $4::text[], $5::text[], $6::int[], $7::bool[])
    AS t (telephone, lasting_s, username, host, port, direct)
JOIN agent a ON a.telephone = t.telephone AND a.enabled
WHERE p.agent_id = a.id AND (p.reach_kind = 'browser' AND p.reach_until > clock_timestamp()) IS NOT TRUE
RETURNING p.agent_id

-- name: unreached
-- On a call she stays what she is: when it is over, she is offline.
UPDATE agent_presence p SET
    reach_node = NULL, reach_until = NULL,
    state = CASE WHEN a.automatic AND p.state IN ('available', 'away', 'wrap_up') THEN 'offline' ELSE p.state END,
    reason = CASE WHEN a.automatic AND p.state IN ('available', 'away', 'wrap_up') THEN NULL ELSE p.reason END,
    until = CASE WHEN a.automatic THEN NULL ELSE p.until END
FROM agent a
WHERE a.id = p.agent_id AND a.telephone = ANY($2::text[]) AND p.reach_node = $1 AND p.reach_kind = 'telephone'
RETURNING p.agent_id

-- name: reached_by_browser
UPDATE agent_presence SET reach_node = $2, reach_kind = 'browser', reach_user = NULL, reach_host = NULL,
    reach_port = NULL, reach_direct = false, reach_until = clock_timestamp() + make_interval(secs => $3)
WHERE agent_id = ANY($1::uuid[])

-- name: browser_gone
UPDATE agent_presence SET reach_node = NULL, reach_until = NULL
WHERE agent_id = ANY($1::uuid[]) AND reach_node = $2 AND reach_kind = 'browser'

-- name: say
-- What an agent says of herself, or a supervisor of her. On a call (`node_id` is set) it counts from its end on; only
-- distress shows at once, and goes when she says that she is well. Whoever is only reserved is not rung any more.
UPDATE agent_presence SET
    state = CASE WHEN node_id IS NULL OR $2 = 'distress' THEN $2
        WHEN state = 'distress' AND $2 = 'available' THEN CASE
            WHEN EXISTS (SELECT FROM waiting w WHERE w.agent_id = $1 AND w.state = 'offered') THEN 'ringing'
            ELSE 'on_call' END
        ELSE state END,
    reason = CASE WHEN node_id IS NULL OR $2 = 'distress' THEN $3
        WHEN state = 'distress' AND $2 = 'available' THEN NULL ELSE reason END,
    until = NULL,
    next_state = CASE WHEN node_id IS NOT NULL AND $2 IN ('away', 'offline') THEN $2 END,
    next_reason = CASE WHEN node_id IS NOT NULL AND $2 IN ('away', 'offline') THEN $3 END,
    conversation_id = CASE WHEN node_id IS NOT NULL AND NOT (state = 'reserved' AND $2 = 'distress') THEN conversation_id END,
    queue = CASE WHEN node_id IS NOT NULL AND NOT (state = 'reserved' AND $2 = 'distress') THEN queue END,
    node_id = CASE WHEN NOT (state = 'reserved' AND $2 = 'distress') THEN node_id END
WHERE agent_id = $1 RETURNING state

-- name: come_back
-- Pauses that are over by themselves, and telephones that did not register again.
UPDATE agent_presence p SET
    state = CASE
        WHEN a.automatic AND coalesce(p.reach_until <= clock_timestamp(), true) THEN 'offline' ELSE 'available' END,
    reason = NULL, until = NULL, conversation_id = NULL, queue = NULL, node_id = NULL
FROM agent a
WHERE a.id = p.agent_id AND p.until <= clock_timestamp() AND p.state IN ('wrap_up', 'away')
RETURNING p.agent_id

-- name: lapse
UPDATE agent_presence p SET state = 'offline', reason = NULL, until = NULL, reach_node = NULL, reach_until = NULL
FROM agent a
WHERE a.id = p.agent_id AND a.automatic AND p.state IN ('available', 'away', 'wrap_up')
  AND (p.reach_until IS NULL OR p.reach_until <= clock_timestamp())
RETURNING p.agent_id

-- name: free
SELECT a.id, extract(epoch FROM p.since)::float8 AS free_since_s, n.calls_back AND n.state = 'up' AS calls_back,
    CASE WHEN p.reach_direct THEN NULL ELSE p.reach_node END AS node,
    ARRAY(SELECT q.queue FROM agent_queue q WHERE q.agent_id = a.id) AS queues,
    ARRAY(SELECT k.skill FROM agent_skill k WHERE k.agent_id = a.id ORDER BY k.skill) AS skills,
    ARRAY(SELECT k.proficiency FROM agent_skill k WHERE k.agent_id = a.id ORDER BY k.skill) AS proficiencies
FROM agent_presence p
JOIN agent a ON a.id = p.agent_id AND a.enabled
JOIN voice_node n ON n.id = p.reach_node AND n.state <> 'gone'
WHERE p.state = 'available' AND p.reach_until > clock_timestamp()
  AND NOT EXISTS (SELECT FROM waiting w WHERE w.agent_id = p.agent_id AND w.state IN ('offered', 'connected'))

-- name: logged_in
-- Agents who could be reached, busy or not, counted by what they serve; `node` alone can ring them unless it is null.
SELECT node, queues, skills, proficiencies, count(*)::int AS agents FROM (
    SELECT
        CASE WHEN p.reach_direct THEN NULL ELSE p.reach_node END AS node,
        ARRAY(SELECT q.queue FROM agent_queue q WHERE q.agent_id = a.id ORDER BY q.queue) AS queues,
        ARRAY(SELECT k.skill FROM agent_skill k WHERE k.agent_id = a.id ORDER BY k.skill) AS skills,
        ARRAY(SELECT k.proficiency FROM agent_skill k WHERE k.agent_id = a.id ORDER BY k.skill) AS proficiencies
    FROM agent_presence p
    JOIN agent a ON a.id = p.agent_id AND a.enabled
    JOIN voice_node n ON n.id = p.reach_node AND n.state <> 'gone'
    WHERE p.state <> 'offline' AND p.reach_until > clock_timestamp()
      AND EXISTS (SELECT FROM agent_queue q WHERE q.agent_id = a.id AND q.queue = ANY($1::text[]))
) AS one
GROUP BY node, queues, skills, proficiencies

-- name: reserve_for_call
-- For a call that we make: the agent free for longest whom this node can ring, unless somebody waits in the queue.
-- Once more gives the same one: the answer to the first time may have been lost.
WITH chosen AS (
    SELECT p.agent_id FROM agent_presence p
    JOIN agent a ON a.id = p.agent_id AND a.enabled
    JOIN agent_queue q ON q.agent_id = a.id AND q.queue = $1
    WHERE p.state = 'ringing' AND p.conversation_id = $3 AND p.node_id = $2
      OR p.state = 'available' AND p.reach_until > clock_timestamp() AND p.reach_node = $2
      AND NOT EXISTS (SELECT FROM waiting w WHERE w.queue = $1 AND w.state = 'waiting')
    ORDER BY p.conversation_id IS NOT DISTINCT FROM $3 DESC, p.since LIMIT 1 FOR UPDATE OF p SKIP LOCKED
)
UPDATE agent_presence p SET state = 'ringing', node_id = $2, conversation_id = $3, queue = $1, reason = NULL, until = NULL
FROM chosen c, agent a WHERE p.agent_id = c.agent_id AND a.id = c.agent_id
RETURNING p.agent_id, a.name, p.reach_kind, p.reach_node, p.reach_user, p.reach_host, p.reach_port, a.telephone

-- name: reserve_agent
-- One agent, by name. Whoever writes up this very call may have it back; whoever monitors may be away.
UPDATE agent_presence p SET state = 'ringing', node_id = $2, conversation_id = $3, queue = $4, until = NULL,
    reason = CASE WHEN $5 THEN 'monitoring' END,
    next_state = CASE WHEN p.state = 'away' AND NOT a.automatic THEN 'away' END,
    next_reason = CASE WHEN p.state = 'away' AND NOT a.automatic THEN p.reason END
FROM agent a
WHERE a.id = p.agent_id AND a.enabled AND p.agent_id = $1
  AND (p.state = 'available' OR (p.state = 'away' AND $5) OR (p.state = 'wrap_up' AND p.conversation_id = $3))
  AND p.reach_until > clock_timestamp() AND (p.reach_node = $2 OR p.reach_direct)
RETURNING p.agent_id, a.name, p.reach_kind, p.reach_node, p.reach_user, p.reach_host, p.reach_port, a.telephone

-- name: free_for_calls
SELECT count(*) FROM agent_presence p
JOIN agent a ON a.id = p.agent_id AND a.enabled
JOIN agent_queue q ON q.agent_id = a.id AND q.queue = $1
WHERE p.state = 'available' AND p.reach_until > clock_timestamp() AND p.reach_node = $2
  AND NOT EXISTS (SELECT FROM waiting w WHERE w.queue = $1 AND w.state = 'waiting')

-- name: take_up
-- The node begins to ring. Nothing comes back when the reservation was taken back meanwhile: then it must not.
-- Once more is no error: the answer to the first time may have been lost. So with `talks`.
UPDATE agent_presence SET state = 'ringing'
WHERE agent_id = $1 AND conversation_id = $2 AND state IN ('reserved', 'ringing')
RETURNING agent_id

-- name: talks
-- Whoever said while it rang that she is in distress is so on the call, too.
UPDATE agent_presence SET state = CASE state WHEN 'ringing' THEN 'on_call' ELSE state END
WHERE agent_id = $1 AND conversation_id = $2 AND node_id IS NOT NULL AND state IN ('ringing', 'on_call', 'distress')
RETURNING agent_id

-- name: did_not_answer
-- Away until she says otherwise; a telephone that is an agent by itself says nothing, and is tried again after a while.
-- Whoever is in distress stays so.
UPDATE agent_presence p SET
    state = CASE p.state WHEN 'distress' THEN p.state ELSE 'away' END,
    reason = CASE p.state WHEN 'distress' THEN p.reason ELSE $3 END,
    node_id = NULL, conversation_id = NULL, queue = NULL, next_state = NULL,
    next_reason = NULL,
    until = CASE WHEN a.automatic AND p.state <> 'distress' THEN clock_timestamp() + make_interval(secs => $4) END
FROM agent a
WHERE a.id = p.agent_id AND p.agent_id = $1 AND p.conversation_id = $2 AND p.node_id IS NOT NULL
  AND p.state IN ('reserved', 'ringing', 'distress')
RETURNING p.agent_id

-- name: free_again
-- Whom she was reserved for is gone before they talked: there is nothing to write up. Whoever is in distress stays so.
UPDATE agent_presence p SET
    state = CASE
        WHEN p.next_state IS NOT NULL THEN p.next_state
        WHEN p.state = 'distress' THEN 'distress'
        WHEN a.automatic AND coalesce(p.reach_until <= clock_timestamp(), true) THEN 'offline' ELSE 'available' END,
    reason = CASE WHEN p.next_state IS NULL AND p.state = 'distress' THEN p.reason ELSE p.next_reason END,
    until = NULL, node_id = NULL, conversation_id = NULL, queue = NULL, next_state = NULL, next_reason = NULL
FROM agent a
WHERE a.id = p.agent_id AND p.agent_id = $1 AND p.conversation_id = $2 AND p.node_id IS NOT NULL
RETURNING p.agent_id

-- name: finish
-- Her call is over: her time to write it up begins, or she is free. The call stays beside her while she writes.
-- Whoever is in distress stays so.
UPDATE agent_presence p SET
    state = CASE WHEN f.wraps THEN 'wrap_up' WHEN p.next_state IS NOT NULL THEN p.next_state
        WHEN p.state = 'distress' THEN 'distress' WHEN f.unreached THEN 'offline' ELSE 'available' END,
    reason = CASE WHEN f.wraps THEN NULL WHEN p.next_state IS NULL AND p.state = 'distress' THEN p.reason
        ELSE p.next_reason END,
    until = CASE WHEN f.wraps THEN clock_timestamp() + make_interval(secs => f.wrap_up_s) END,
    conversation_id = CASE WHEN f.wraps THEN p.conversation_id END,
    queue = CASE WHEN f.wraps THEN p.queue END,
    node_id = NULL,
    next_state = NULL, next_reason = NULL
FROM (
    SELECT s.agent_id, coalesce(q.wrap_up_s, 0) AS wrap_up_s,
        coalesce(q.wrap_up_s, 0) > 0 AND s.next_state IS NULL AND s.state <> 'distress' AS wraps,
        a.automatic AND coalesce(s.reach_until <= clock_timestamp(), true) AS unreached
    FROM agent_presence s JOIN agent a ON a.id = s.agent_id LEFT JOIN queue q ON q.name = s.queue
    WHERE s.agent_id = $1
) AS f
WHERE p.agent_id = f.agent_id AND p.conversation_id = $2 AND p.node_id IS NOT NULL
RETURNING p.agent_id

-- name: strays
SELECT agent_id, conversation_id FROM agent_presence
WHERE node_id = $1 AND state <> 'reserved' AND NOT conversation_id = ANY($2::uuid[])
  AND since < clock_timestamp() - make_interval(secs => $3)

-- name: bury
-- Agents on calls of nodes that are gone are free; those who were reached by such a node are not reached any more.
UPDATE agent_presence p SET
    state = CASE
        WHEN p.state IN ('reserved', 'ringing', 'on_call') AND caller_node.id IS NOT NULL THEN
            CASE WHEN a.automatic AND reach.id IS NOT NULL THEN 'offline' ELSE coalesce(p.next_state, 'available') END
        WHEN a.automatic AND reach.id IS NOT NULL AND p.state IN ('available', 'away', 'wrap_up') THEN 'offline'
        ELSE p.state END,
    reason = CASE WHEN caller_node.id IS NOT NULL AND p.state <> 'distress' THEN p.next_reason ELSE p.reason END,
    next_state = CASE WHEN caller_node.id IS NOT NULL THEN NULL ELSE p.next_state END,
    next_reason = CASE WHEN caller_node.id IS NOT NULL THEN NULL ELSE p.next_reason END,
    conversation_id = CASE WHEN caller_node.id IS NOT NULL THEN NULL ELSE p.conversation_id END,
    node_id = CASE WHEN caller_node.id IS NOT NULL THEN NULL ELSE p.node_id END,
    reach_node = CASE WHEN reach.id IS NOT NULL THEN NULL ELSE p.reach_node END,
    reach_until = CASE WHEN reach.id IS NOT NULL THEN NULL ELSE p.reach_until END
FROM agent a, agent_presence s
LEFT JOIN voice_node caller_node ON caller_node.id = s.node_id AND caller_node.state = 'gone'
LEFT JOIN voice_node reach ON reach.id = s.reach_node AND reach.state = 'gone'
WHERE a.id = p.agent_id AND s.agent_id = p.agent_id AND (caller_node.id IS NOT NULL OR reach.id IS NOT NULL)
RETURNING p.agent_id
