-- name: raise
INSERT INTO alert (id, kind, about, conversation_id, person_id, detail) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (kind, about) WHERE closed_at IS NULL DO NOTHING RETURNING id

-- name: same
SELECT id FROM alert WHERE kind = $1 AND about = $2 AND closed_at IS NULL

-- name: open
-- By alert_open; a person in distress first, then the longest waiting.
SELECT id, kind, conversation_id, person_id, detail, raised_at, taken_by, taken_at FROM alert
WHERE closed_at IS NULL ORDER BY kind <> 'distress', raised_at LIMIT $1

-- name: of_conversation
SELECT id, kind, conversation_id, person_id, detail, raised_at, taken_by, taken_at FROM alert
WHERE about = $1 AND closed_at IS NULL ORDER BY raised_at

-- name: lock
SELECT id, kind, conversation_id, person_id, detail, raised_at, taken_by, taken_at, closed_at FROM alert
WHERE id = $1 FOR UPDATE

-- name: take
UPDATE alert SET taken_by = $2, taken_at = clock_timestamp() WHERE id = $1

-- name: close
UPDATE alert SET closed_by = $2, closed_at = clock_timestamp(), note = $3 WHERE id = $1

-- name: close_same
UPDATE alert SET closed_by = $3, closed_at = clock_timestamp(), note = $4
WHERE kind = $1 AND about = $2 AND closed_at IS NULL RETURNING id
