-- name: lock
SELECT pg_advisory_xact_lock(hashtextextended('request:' || $1 || ' ' || $2 || ' ' || $3, 0))

-- name: get
SELECT digest, answer FROM answered_request
WHERE client = $1 AND route = $2 AND key = $3 AND at > now() - make_interval(secs => $4)

-- name: put
INSERT INTO answered_request (client, route, key, digest, answer) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (client, route, key) DO UPDATE SET digest = $4, answer = $5, at = now()

-- name: forget
DELETE FROM answered_request WHERE client = $1 AND route = $2 AND key = $3

-- name: sweep
DELETE FROM answered_request WHERE at < now() - make_interval(secs => $1)
