-- name: raise_one
INSERT INTO alert (id, kind, conversation_id, person_id, detail) VALUES ($1, $2, $3, $4, $5)

-- name: open_ones
SELECT id, kind, conversation_id, person_id, detail, raised_at, taken_by, taken_at
FROM alert WHERE closed_at IS NULL ORDER BY raised_at LIMIT 200

-- name: take
UPDATE alert SET taken_by = $2, taken_at = clock_timestamp() WHERE id = $1 AND closed_at IS NULL RETURNING id

-- name: close
UPDATE alert SET closed_by = $2, closed_at = clock_timestamp(), note = $3
WHERE id = $1 AND closed_at IS NULL RETURNING id
