-- name: add
INSERT INTO callback (id, person_id, conversation_id, number, due_at, not_after, attempt_id, kind, campaign, zone, note,
    why, asked_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (conversation_id) WHERE kind = 'distress' AND state = 'waiting' DO NOTHING
RETURNING id

-- name: of_distress
SELECT id FROM callback WHERE conversation_id = $1 AND kind = 'distress' AND state = 'waiting'

-- name: lock
SELECT id, person_id, conversation_id, number, due_at, not_after, attempt_id, kind, campaign, zone, note, state, asked_by
FROM callback WHERE id = $1 FOR UPDATE

-- name: listed
-- The state as it is seen: a call of ours that was spoken has answered it.
SELECT c.id, c.person_id, c.conversation_id, c.number, c.due_at, c.not_after, c.kind, c.campaign, c.zone, c.note,
    c.created_at, c.asked_by, c.closed_by, c.closed_at, a.state AS attempt_state, a.due_at AS attempt_due_at,
    CASE WHEN c.state <> 'waiting' THEN c.state WHEN a.state = 'delivered' THEN 'done'
        WHEN coalesce(c.not_after, c.due_at + make_interval(secs => $3)) < now() THEN 'overdue'
        WHEN c.due_at <= now() THEN 'due' ELSE 'ahead' END AS state,
    coalesce(a.why, c.why) AS why
FROM callback c
LEFT JOIN attempt a ON a.id = c.attempt_id AND a.person_id = c.person_id
WHERE CASE $1 WHEN 'one' THEN c.id = $4 WHEN 'waiting' THEN c.state = 'waiting' AND a.state IS DISTINCT FROM 'delivered'
    ELSE c.state <> 'waiting' OR a.state = 'delivered' END
ORDER BY CASE WHEN $1 = 'waiting' THEN c.due_at END, coalesce(c.closed_at, c.created_at) DESC LIMIT $2

-- name: move
UPDATE callback SET due_at = $2, not_after = $3, attempt_id = $4, why = $5, zone = $6, campaign = $7 WHERE id = $1

-- name: close
UPDATE callback SET state = $2, closed_by = $3, closed_at = clock_timestamp() WHERE id = $1 AND state = 'waiting'
RETURNING id

-- name: take_back
-- A call that is planned and not yet on its way is not made.
UPDATE attempt SET state = 'suppressed', why = 'the callback was cancelled or moved', updated_at = now()
WHERE person_id = $1 AND id = $2 AND state = 'planned' RETURNING id

-- name: overdue
-- Nobody called in time, and no call of ours was spoken; the longest first.
SELECT c.id, c.person_id, c.conversation_id, c.number, c.due_at, c.kind
FROM callback c LEFT JOIN attempt a ON a.id = c.attempt_id AND a.person_id = c.person_id
WHERE c.state = 'waiting' AND c.due_at + make_interval(secs => $1) < now() AND a.state IS DISTINCT FROM 'delivered'
  AND NOT (a.state = 'planned' AND a.due_at > now() AND c.not_after > now())
  AND NOT EXISTS (SELECT FROM alert l WHERE l.kind = 'callback_overdue' AND l.about = 'callback:' || c.id)
ORDER BY c.due_at LIMIT $2

-- name: place_of
-- The place in a queue that it keeps.
SELECT id FROM waiting WHERE callback_id = $1 AND state <> 'left'
