-- name: hold
-- One job at a time tells an entry. Of one that died nobody waits for longer than its lease.
INSERT INTO crm_told (key, is_call, crm, holder, held_until)
VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))
ON CONFLICT (key) DO UPDATE SET holder = $4, held_until = excluded.held_until, crm = $3,
    told = CASE WHEN crm_told.crm = $3 THEN crm_told.told END
WHERE crm_told.held_until < now()
RETURNING told

-- name: let_go
UPDATE crm_told SET held_until = '-infinity', told = coalesce($3, told), told_at = now() WHERE key = $1 AND holder = $2

-- name: forget
DELETE FROM crm_told WHERE key IN (
    SELECT key FROM crm_told WHERE is_call AND told_at < now() - make_interval(days => $1) LIMIT $2
)
