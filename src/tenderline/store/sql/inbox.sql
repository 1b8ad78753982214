-- name: receive
-- One statement, one commit for the whole batch; the hint is sent only when something is new.
WITH fresh AS (
    INSERT INTO inbox (source, event_id, event_type, urgency, subject, body)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::bytea[])
    ON CONFLICT (source, event_id) DO NOTHING
    RETURNING source, event_id
), hint AS (
    SELECT pg_notify($7, '') FROM (SELECT FROM fresh LIMIT 1) one
)
SELECT source, event_id, (SELECT count(*) FROM hint) FROM fresh

-- name: unread_ids
SELECT id FROM inbox
WHERE state = 'unread' AND next_try_at <= now()
ORDER BY urgency, id LIMIT $1

-- name: lock
SELECT id, source, event_id, event_type, body, tries, received_at FROM inbox
WHERE id = $1 AND state = 'unread' AND next_try_at <= now()
FOR UPDATE SKIP LOCKED

-- name: get
SELECT id, source, event_id, event_type, body, tries, received_at FROM inbox WHERE id = $1

-- name: mark_read
UPDATE inbox SET state = 'read', read_at = now(), error = NULL WHERE id = $1

-- name: mark_waiting
UPDATE inbox SET state = 'waiting', error = NULL WHERE id = $1

-- name: give_up_waiting
-- Shown as a dead letter, and holding its contacts as before; the answer, when it comes, still settles it.
UPDATE inbox SET state = 'dead', error = $2
WHERE state = 'waiting' AND received_at < now() - make_interval(secs => $1)
RETURNING id

-- name: put_back
-- The pause doubles with each try; $3 is its first, jittered length in seconds.
UPDATE inbox SET
    tries = tries + 1,
    error = $2,
    next_try_at = now() + make_interval(secs => least(600, $3::float8 * 2 ^ tries)),
    state = CASE WHEN tries + 1 >= $4 THEN 'dead' ELSE state END
WHERE id = $1 AND state = 'unread'

-- name: dead
SELECT id, source, event_type, event_id, subject, received_at, tries, coalesce(error, 'unknown') AS why FROM inbox
WHERE state = 'dead' ORDER BY id DESC LIMIT $1

-- name: dead_one
SELECT id, source, event_type, event_id, subject, received_at, tries, coalesce(error, 'unknown') AS why FROM inbox
WHERE id = $1 AND state = 'dead'

-- name: discard
UPDATE inbox SET state = 'discarded' WHERE id = ANY($1::bigint[]) AND state = 'dead' RETURNING id

-- name: replay
UPDATE inbox SET state = 'unread', tries = 0, next_try_at = now() WHERE id = ANY($1::bigint[]) RETURNING id
