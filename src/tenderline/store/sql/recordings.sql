-- name: begin
INSERT INTO recording (id, conversation_id, sensitive, sealed_key, path, started_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO NOTHING

-- name: mark_sensitive
UPDATE recording SET sensitive = true WHERE id = $1 AND state = 'open'

-- name: stored
UPDATE recording SET state = 'stored', duration_ms = $2, marks = $3::jsonb, delete_after = now() + $4::interval
WHERE id = $1 AND state = 'open'

-- name: failed
UPDATE recording SET state = 'failed', why = $2, duration_ms = $3, marks = $4::jsonb WHERE id = $1 AND state = 'open'

-- name: of
SELECT id, conversation_id, sensitive, sealed_key, path, state, why, started_at, duration_ms, marks::text AS marks,
    delete_after
FROM recording WHERE conversation_id = $1 ORDER BY started_at

-- name: one
SELECT id, conversation_id, sensitive, sealed_key, path, state, why, started_at, duration_ms, marks::text AS marks,
    delete_after
FROM recording WHERE id = $1

-- name: page
SELECT id, conversation_id, sensitive, sealed_key, path, state, why, started_at, duration_ms, marks::text AS marks,
    delete_after
FROM recording WHERE id > $1 ORDER BY id LIMIT $2

-- name: is_known
SELECT EXISTS (SELECT FROM recording WHERE path = $1 AND sensitive = $2 AND state <> 'deleted')

-- name: due
SELECT id, path, sensitive FROM recording WHERE state = 'stored' AND delete_after < now()
ORDER BY delete_after LIMIT $1 FOR UPDATE SKIP LOCKED

-- name: deleted
UPDATE recording SET state = 'deleted', sealed_key = ''::bytea WHERE id = $1
