-- name: call
SELECT id, direction, caller, called, person_id, node_id, ended_at, payment_off_at, payment_off_why, started_at
FROM conversation WHERE id = $1

-- name: people_of_call
SELECT person_id FROM conversation WHERE id = $1 AND person_id IS NOT NULL
UNION SELECT person_id FROM capture_session WHERE conversation_id = $1

-- name: set_person
UPDATE conversation SET person_id = $2 WHERE id = $1 RETURNING payment_off_why

-- name: payment_off
-- Nothing comes back when payment was off already. Whoever charges on this call holds the row, and is waited for.
UPDATE conversation SET payment_off_at = clock_timestamp(), payment_off_why = $2, person_id = coalesce(person_id, $3)
WHERE id = $1 AND payment_off_at IS NULL RETURNING id

-- name: lock_call
SELECT payment_off_at FROM conversation WHERE id = $1 FOR UPDATE

-- name: may_pay
-- Held until the transaction ends: a payment that begins now is committed before payment is turned off, or not at all.
SELECT payment_off_at IS NULL FROM conversation WHERE id = $1 FOR SHARE

-- name: hold
UPDATE person SET distress_until = $2, distress_at = clock_timestamp(), distress_why = $3
WHERE id = $1 AND distress_until IS DISTINCT FROM $2 RETURNING id

-- name: lift
UPDATE person SET distress_until = NULL, distress_at = NULL, distress_why = NULL
WHERE id = $1 AND distress_until IS NOT NULL RETURNING id

-- name: held
SELECT p.id AS person_id, p.name, p.distress_at, p.distress_why, p.distress_until,
    (SELECT value FROM contact_point WHERE person_id = p.id AND kind = 'phone' ORDER BY created_at LIMIT 1) AS number,
    a.conversation_id, a.id AS alert_id, a.taken_by, c.id AS callback_id, c.due_at AS callback_at, c.state AS callback_state
FROM person p
LEFT JOIN LATERAL (
    SELECT id, conversation_id, taken_by FROM alert WHERE person_id = p.id AND kind = 'distress'
    ORDER BY raised_at DESC LIMIT 1
) a ON true
LEFT JOIN LATERAL (
    SELECT id, due_at, state FROM callback WHERE person_id = p.id AND kind = 'distress' ORDER BY created_at DESC LIMIT 1
) c ON true
WHERE p.distress_until IS NOT NULL AND p.distress_until > now()
ORDER BY p.distress_at NULLS FIRST, p.id LIMIT $1

-- name: keep_line
-- What is posted again is kept once.
INSERT INTO transcript_line (id, conversation_id, participant, text, at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO NOTHING

-- name: forget_lines
DELETE FROM transcript_line WHERE id IN (
    SELECT id FROM transcript_line WHERE kept_at < now() - make_interval(days => $1) ORDER BY kept_at LIMIT $2
)

-- name: unled
-- Live calls whose distress nobody has taken, for which supervisors ($1) were asked when none was there, and one is now
-- whom the call's node can ring. Each is asked again after $2 seconds at the earliest, and $3 times at most.
SELECT c.id, c.payment_off_why AS why
FROM alert a JOIN conversation c ON c.id = a.conversation_id AND c.ended_at IS NULL
WHERE a.kind = 'distress' AND a.closed_at IS NULL AND a.taken_by IS NULL
  AND (
      SELECT count(*) BETWEEN 1 AND $3 AND max(l.asked_at) < now() - make_interval(secs => $2)
      FROM live_command l WHERE l.conversation_id = c.id AND l.kind = 'escalate'
  )
  AND NOT EXISTS (
      SELECT FROM waiting w
      WHERE w.conversation_id = c.id AND w.queue = $1 AND (w.state <> 'left' OR w.connected_at IS NOT NULL)
  )
  AND NOT EXISTS (
      SELECT FROM agent_presence p JOIN agent_queue q ON q.agent_id = p.agent_id AND q.queue = $1
      WHERE p.conversation_id = c.id AND p.node_id IS NOT NULL
  )
  AND EXISTS (
      SELECT FROM agent_presence p
      JOIN agent s ON s.id = p.agent_id AND s.enabled
      JOIN agent_queue q ON q.agent_id = p.agent_id AND q.queue = $1
      JOIN voice_node n ON n.id = p.reach_node AND n.state <> 'gone'
      WHERE p.state = 'available' AND p.reach_until > clock_timestamp() AND (p.reach_direct OR n.id = c.node_id)
  )
FOR UPDATE OF a SKIP LOCKED
