-- name: add
INSERT INTO callback (id, person_id, conversation_id, number, due_at, not_after, attempt_id, kind, campaign, zone, note,
    why, asked_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT DO NOTHING
RETURNING id

-- name: of_distress
SELECT id FROM callback WHERE conversation_id = $1 AND kind = 'distress' AND state = 'waiting'

-- name: lock
SELECT id, person_id, conversation_id, number, due_at, not_after, attempt_id, kind, campaign, zone, note, state, asked_by
FROM callback WHERE id = $1 FOR UPDATE

-- name: listed
SELECT id, person_id, conversation_id, number, due_at, not_after, kind, campaign, zone, note, created_at, asked_by,
    closed_by, closed_at, attempt_state, attempt_due_at, looks AS state, why
FROM callback_seen
WHERE CASE $1 WHEN 'one' THEN id = $3 WHEN 'waiting' THEN state = 'waiting' AND looks <> 'done'
    ELSE state <> 'waiting' OR looks = 'done' END
ORDER BY CASE WHEN $1 = 'waiting' THEN due_at END, coalesce(closed_at, created_at) DESC LIMIT $2

-- name: answer
-- What was wanted without a time is wanted as long as its call; moved, it is planned in the same campaign.
UPDATE callback c SET attempt_id = $2, person_id = coalesce(c.person_id, a.person_id),
    campaign = coalesce(c.campaign, a.template), not_after = coalesce(c.not_after, a.not_after)
FROM attempt a WHERE c.id = $1 AND a.id = $2

-- name: explain
UPDATE callback SET why = $2 WHERE id = $1

-- name: move
UPDATE callback SET due_at = $2, not_after = $3, attempt_id = $4, why = $5, zone = $6, campaign = $7 WHERE id = $1

-- name: close
UPDATE callback SET state = $2, closed_by = $3, closed_at = clock_timestamp() WHERE id = $1 AND state = 'waiting'
RETURNING id

-- name: take_back
-- A call that is planned and not yet on its way is not made. What it was before comes back.
WITH before AS (
    SELECT person_id, id, state, channel FROM attempt WHERE person_id = $1 AND id = $2 FOR UPDATE
), taken AS (
    UPDATE attempt a SET state = 'suppressed', why = $3, updated_at = now()
    FROM before b WHERE a.person_id = b.person_id AND a.id = b.id AND b.state = 'planned'
)
SELECT state, channel FROM before

-- name: overdue
-- Nobody was told that this one is late: an alert from before it was moved, or planned anew, is not about this.
SELECT c.id, c.person_id, c.conversation_id, c.number, c.due_at, c.kind FROM callback_seen c
WHERE c.state = 'waiting' AND c.looks = 'overdue'
  AND NOT EXISTS (
      SELECT FROM alert l
      WHERE l.kind = 'callback_overdue' AND l.about = 'callback:' || c.id
        AND (l.closed_at IS NULL OR l.raised_at >= c.late_at)
  )
ORDER BY c.due_at LIMIT $1

-- name: place_of
-- The place in a queue that it keeps.
SELECT id FROM waiting WHERE callback_id = $1 AND state <> 'left'
