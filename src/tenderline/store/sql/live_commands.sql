-- name: ask
-- Nothing comes back for a call that does not last.
INSERT INTO live_command (id, node_id, conversation_id, kind, detail, asked_by, not_after)
SELECT $1, node_id, id, $3, $4, $5, now() + make_interval(secs => $6)
FROM conversation WHERE id = $2 AND ended_at IS NULL
RETURNING node_id

-- name: hint
SELECT pg_notify('live_command', $1)

-- name: take
-- Each is taken once, the oldest first.
UPDATE live_command SET taken_at = now() WHERE id IN (
    SELECT id FROM live_command WHERE node_id = $1 AND taken_at IS NULL AND not_after > now()
    ORDER BY asked_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
RETURNING id, conversation_id, kind, detail, asked_by, asked_at

-- name: answer
UPDATE live_command SET answered_at = now(), answer = $2, refused_code = $3, refused_detail = $4
WHERE id = $1 AND answered_at IS NULL

-- name: read
SELECT answered_at, answer, refused_code, refused_detail FROM live_command WHERE id = $1

-- name: withdraw
-- Nothing comes back when the node has taken it already.
DELETE FROM live_command WHERE id = $1 AND taken_at IS NULL RETURNING id

-- name: sweep
DELETE FROM live_command WHERE asked_at < now() - make_interval(secs => $1)
