-- name: lock
-- One match at a time in the whole installation: rings join queues, so there is no lock of one queue that would do.
SELECT extract(epoch FROM clock_timestamp())::float8 AS now_s FROM pg_advisory_xact_lock(7381200418)

-- name: now
SELECT extract(epoch FROM clock_timestamp())::float8

-- name: enter
INSERT INTO waiting (id, conversation_id, node_id, queue, caller, rank_at, priority, tier, skills, preferred_agent,
    preferred_until, ring_min)
SELECT $1, $2, $3, q.name, $5, clock_timestamp() - make_interval(secs => $6), $7, $8, $9::text[], $10,
    clock_timestamp() + make_interval(secs => q.last_agent_wait_s), $11
FROM queue q WHERE q.name = $4 FOR KEY SHARE OF q
ON CONFLICT (id) DO UPDATE SET id = excluded.id  -- written already, by a first try whose answer was lost
RETURNING extract(epoch FROM entered_at)::float8 AS entered_s

-- name: last_agent
-- Who talked to this caller last in this queue, when she could be reached now.
SELECT w.agent_id FROM waiting w
JOIN agent_presence p ON p.agent_id = w.agent_id AND p.state <> 'offline' AND p.reach_until > clock_timestamp()
JOIN agent_queue q ON q.agent_id = w.agent_id AND q.queue = $2
WHERE w.caller = $1 AND w.queue = $2 AND w.connected_at IS NOT NULL ORDER BY w.connected_at DESC LIMIT 1

-- name: in_line
SELECT id, queue, node_id, skills, ring_min, returned, preferred_agent,
    extract(epoch FROM entered_at)::float8 AS entered_s, extract(epoch FROM rank_at)::float8 AS rank_s,
    coalesce(extract(epoch FROM preferred_until), 0)::float8 AS preferred_until_s, kept_at IS NOT NULL AS is_kept
FROM waiting WHERE state = 'waiting' AND queue = ANY($1::text[])
ORDER BY rank_at LIMIT $2

-- name: queues_in_line
SELECT DISTINCT queue FROM waiting WHERE state = 'waiting'

-- name: assign
-- The reservation: both rows, or neither. Who is being changed is left out, and looked at again: nothing waits here.
WITH pair AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::bool[]) AS p (waiting_id, agent_id, ring, overflowed)
), agents AS (
    SELECT p.agent_id, p.reach_node FROM agent_presence p JOIN pair USING (agent_id)
    WHERE p.state = 'available'
      AND NOT EXISTS (SELECT FROM waiting o WHERE o.agent_id = p.agent_id AND o.state IN ('offered', 'connected'))
    FOR UPDATE OF p SKIP LOCKED
), callers AS (
    SELECT w.id FROM waiting w JOIN pair ON pair.waiting_id = w.id WHERE w.state = 'waiting' FOR UPDATE OF w SKIP LOCKED
), pairs AS (
    SELECT pair.*, agents.reach_node FROM pair JOIN agents USING (agent_id) JOIN callers ON callers.id = pair.waiting_id
), offered AS (
    UPDATE waiting w SET state = 'offered', agent_id = b.agent_id, offered_at = clock_timestamp(),
        offers = w.offers + 1, ring = b.ring, overflowed = b.overflowed,
        node_id = CASE WHEN w.kept_at IS NULL THEN w.node_id ELSE b.reach_node END
    FROM pairs b WHERE w.id = b.waiting_id
    RETURNING w.id, w.conversation_id, w.node_id, w.queue, w.agent_id
), reserved AS (
    UPDATE agent_presence p SET state = 'reserved', node_id = o.node_id, conversation_id = o.conversation_id,
        queue = o.queue, reason = NULL, until = NULL
    FROM offered o WHERE p.agent_id = o.agent_id RETURNING p.agent_id
)
SELECT o.id, o.node_id FROM offered o JOIN reserved USING (agent_id)

-- name: offers
-- What this node has to ring now.
SELECT w.id, w.conversation_id, w.queue, w.agent_id, a.name AS agent, a.telephone, w.caller, w.tier, w.overflowed,
    w.ring, w.kept_at, w.callback_id, p.reach_kind, p.reach_node, p.reach_user, p.reach_host, p.reach_port,
    extract(epoch FROM clock_timestamp() - w.entered_at)::float8 AS waited_s, coalesce(q.ring_s, 20)::float8 AS ring_s
FROM waiting w JOIN agent_presence p ON p.agent_id = w.agent_id JOIN agent a ON a.id = w.agent_id
LEFT JOIN queue q ON q.name = w.queue
WHERE w.node_id = $1 AND w.state = 'offered' AND p.state = 'reserved'

-- name: still_there
-- Of those who wait on this node, the ones that the database knows: a missing one was taken out by others.
SELECT id, state, outcome FROM waiting WHERE id = ANY($1::uuid[])

-- name: connect
-- Once more is no error: the answer to the first time may have been lost.
UPDATE waiting SET state = 'connected', connected_at = coalesce(connected_at, clock_timestamp())
WHERE id = $1 AND agent_id = $2 AND conversation_id = $3 AND state IN ('offered', 'connected') RETURNING id

-- name: give_back
-- To the head of the line: it was this caller's turn.
UPDATE waiting SET state = 'waiting', returned = true, agent_id = NULL,
    node_id = CASE WHEN kept_at IS NULL THEN node_id END
WHERE id = $1 AND agent_id = $2 AND state = 'offered' RETURNING id

-- name: put_back
-- To the head of the line, though the agent may have answered: whoever had kept the place was not called yet.
UPDATE waiting SET state = 'waiting', returned = true, agent_id = NULL, connected_at = NULL,
    node_id = CASE WHEN kept_at IS NULL THEN node_id END
WHERE id = $1 AND agent_id = $2 AND conversation_id = $3 AND state IN ('offered', 'connected') RETURNING id

-- name: leave
UPDATE waiting SET state = 'left', outcome = $2, left_at = clock_timestamp()
WHERE id = $1 AND state <> 'left' RETURNING agent_id, conversation_id

-- name: keep_place
-- Once more, with the same callback, is no error, whatever became of the place meanwhile.
UPDATE waiting SET kept_at = coalesce(kept_at, clock_timestamp()), callback_id = $2,
    node_id = CASE WHEN kept_at IS NOT NULL THEN node_id END
WHERE id = $1 AND caller IS NOT NULL AND (state = 'waiting' AND kept_at IS NULL OR callback_id = $2) RETURNING id

-- name: call_of
-- The call that we make for a place that was kept has an id of its own; with it the reservation is taken up. Once more
-- is no error.
WITH named AS (
    UPDATE waiting SET conversation_id = $3 WHERE id = $1 AND agent_id = $2 AND state = 'offered'
    RETURNING agent_id
)
UPDATE agent_presence p SET conversation_id = $3, state = 'ringing'
FROM named n WHERE p.agent_id = n.agent_id
  AND (p.state = 'reserved' OR p.state = 'ringing' AND p.conversation_id = $3)
RETURNING p.agent_id

-- name: strays
-- In line, or talking, on a node that knows nothing of the call any more. Offers that nobody rings for come back by
-- `stale_offers`.
SELECT id, kept_at IS NOT NULL AS is_kept FROM waiting
WHERE node_id = $1 AND state IN ('waiting', 'connected') AND NOT conversation_id = ANY($2::uuid[])
  AND coalesce(connected_at, entered_at) < clock_timestamp() - make_interval(secs => $3)

-- name: set_ring_min
UPDATE waiting w SET ring_min = t.ring_min FROM unnest($1::uuid[], $2::int[]) AS t (id, ring_min)
WHERE w.id = t.id AND w.state = 'waiting' AND w.ring_min < t.ring_min RETURNING w.id

-- name: nobody_there
UPDATE waiting SET state = 'left', outcome = 'nobody', left_at = clock_timestamp()
WHERE id = ANY($1::uuid[]) AND state = 'waiting' AND kept_at IS NULL RETURNING id, node_id

-- name: stale_offers
-- Reserved, and its node did not begin to ring in time: both are as before. An offer whose agent is not held for it
-- any more, whatever became of her, is none: it would keep her from every other caller.
WITH stale AS (
    SELECT w.id, w.agent_id, p.state = 'reserved' AND p.conversation_id = w.conversation_id AS is_reserved
    FROM waiting w JOIN agent_presence p ON p.agent_id = w.agent_id
    WHERE w.state = 'offered' AND (
        p.node_id IS NULL OR p.conversation_id IS DISTINCT FROM w.conversation_id
        OR p.state = 'reserved' AND w.offered_at < clock_timestamp() - make_interval(secs => $1))
    FOR UPDATE OF w, p SKIP LOCKED
), back AS (
    UPDATE waiting w SET state = 'waiting', returned = true, agent_id = NULL,
        node_id = CASE WHEN w.kept_at IS NULL THEN w.node_id END
    FROM stale WHERE w.id = stale.id
)
UPDATE agent_presence p SET state = 'available', node_id = NULL, conversation_id = NULL, queue = NULL
FROM stale WHERE p.agent_id = stale.agent_id AND stale.is_reserved RETURNING p.agent_id

-- name: has_orphans
SELECT EXISTS (
    SELECT FROM waiting w JOIN voice_node n ON n.id = w.node_id WHERE n.state = 'gone' AND w.state <> 'left'
) OR EXISTS (
    SELECT FROM agent_presence p JOIN voice_node n ON n.id IN (p.node_id, p.reach_node) WHERE n.state = 'gone'
)

-- name: bury
-- Callers of a node that is gone are gone with it. Places that are kept are no node's, unless one was about to call.
UPDATE waiting w SET
    state = CASE WHEN w.kept_at IS NOT NULL AND w.state = 'offered' THEN 'waiting' ELSE 'left' END,
    outcome = CASE WHEN w.kept_at IS NOT NULL AND w.state = 'offered' THEN NULL ELSE 'node_gone' END,
    left_at = CASE WHEN w.kept_at IS NOT NULL AND w.state = 'offered' THEN NULL ELSE clock_timestamp() END,
    returned = w.returned OR w.kept_at IS NOT NULL,
    node_id = CASE WHEN w.kept_at IS NOT NULL AND w.state = 'offered' THEN NULL ELSE w.node_id END,
    agent_id = CASE WHEN w.kept_at IS NOT NULL AND w.state = 'offered' THEN NULL ELSE w.agent_id END
FROM voice_node n WHERE n.id = w.node_id AND n.state = 'gone' AND w.state <> 'left'
RETURNING w.id

-- name: position
SELECT count(*)::int + 1 AS position FROM waiting o, waiting w
WHERE w.id = $1 AND o.queue = w.queue AND o.state = 'waiting' AND o.id <> w.id
  AND (o.returned, o.rank_at) IS DISTINCT FROM (w.returned, w.rank_at)
  AND (o.returned AND NOT w.returned OR o.returned = w.returned AND o.rank_at < w.rank_at)

-- name: paces
-- How long an agent of a queue is busy with a call, and how many agents and callers there are, for an estimate.
SELECT q.name AS queue, q.wrap_up_s::float8 AS wrap_up_s,
    (SELECT avg(extract(epoch FROM left_at - connected_at))::float8 FROM (
        SELECT left_at, connected_at FROM waiting
        WHERE queue = q.name AND connected_at > now() - interval '1 day' AND outcome = 'talked'
        ORDER BY connected_at DESC LIMIT 50) AS last) AS talk_s,
    coalesce(staff.agents, 0) AS agents, coalesce(staff.free, 0) AS free,
    (SELECT count(*)::int FROM waiting WHERE queue = q.name AND state = 'waiting') AS ahead
FROM queue q
LEFT JOIN (
    SELECT a.queue, count(*)::int AS agents, count(*) FILTER (WHERE p.state = 'available')::int AS free
    FROM agent_queue a JOIN agent_presence p ON p.agent_id = a.agent_id
    WHERE p.state NOT IN ('offline', 'away', 'distress') AND p.reach_until > clock_timestamp()
    GROUP BY a.queue
) AS staff ON staff.queue = q.name
WHERE $1::text IS NULL OR q.name = $1

-- name: hint
SELECT pg_notify('routing', $1)
