-- name: lock_head
-- The head's row is the lock of the chain: appends wait for each other here.
SELECT number, hash, clock_timestamp() AS at FROM audit_head FOR UPDATE

-- name: append
WITH row AS (
    INSERT INTO audit (number, at, actor, action, subject, data, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)
)
UPDATE audit_head SET number = $1, hash = $7

-- name: page
SELECT number, at, actor, action, subject, data, hash FROM audit WHERE number > $1 ORDER BY number LIMIT $2

-- name: head
SELECT number, hash FROM audit_head

-- name: newest
SELECT number, at, actor, action, subject, data FROM audit ORDER BY number DESC LIMIT $1
