-- name: lock_payment
-- Who refunds waits here for whoever refunds the same payment: what is left is counted once.
SELECT pg_advisory_xact_lock(hashtextextended('refund:' || $1::uuid::text, 1))

-- name: intend
INSERT INTO refund (id, payment_id, gateway, amount_minor, currency, reason, asked_by)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING
RETURNING id

-- name: seen
-- Made at the gateway, not here. Told twice, it is one.
INSERT INTO refund (id, payment_id, gateway, reference, amount_minor, currency, reason, state, ended_at)
VALUES ($1, $2, $3, $4, $5, $6, '', $7, CASE WHEN $7 = 'taken' THEN NULL ELSE now() END)
ON CONFLICT DO NOTHING
RETURNING id

-- name: get
SELECT id, payment_id, gateway, reference, amount_minor, currency, reason, asked_by, state, why, created_at, ended_at
FROM refund WHERE id = $1

-- name: lock
SELECT id, payment_id, gateway, reference, amount_minor, currency, reason, asked_by, state, why, created_at, ended_at
FROM refund WHERE id = $1 FOR UPDATE

-- name: by_reference
SELECT id, payment_id, gateway, reference, amount_minor, currency, reason, asked_by, state, why, created_at, ended_at
FROM refund WHERE gateway = $1 AND reference = $2 FOR UPDATE

-- name: of_payment
SELECT id, payment_id, gateway, reference, amount_minor, currency, reason, asked_by, state, why, created_at, ended_at
FROM refund WHERE payment_id = $1 ORDER BY created_at, id LIMIT 200

-- name: held
-- What has gone back, or may have.
SELECT coalesce(sum(amount_minor), 0)::bigint FROM refund
WHERE payment_id = $1 AND state IN ('intended', 'taken', 'unknown', 'succeeded')

-- name: gone_back
SELECT coalesce(sum(amount_minor), 0)::bigint FROM refund WHERE payment_id = $1 AND state = 'succeeded'

-- name: has_come_back
SELECT EXISTS (SELECT FROM refund WHERE payment_id = $1 AND state = 'failed')

-- name: set_state
UPDATE refund SET state = $2, why = $3, reference = coalesce(reference, $4), looked_at = now(),
    ended_at = CASE WHEN $2 IN ('succeeded', 'refused', 'failed') THEN now() END
WHERE id = $1

-- name: open
-- Those whose end nobody has told, the one first that was looked at longest ago.
SELECT id, payment_id, gateway, reference, amount_minor, currency, reason, asked_by, state, why, created_at, ended_at
FROM refund WHERE state IN ('intended', 'taken', 'unknown') AND looked_at < now() - make_interval(secs => $1)
ORDER BY looked_at LIMIT $2

-- name: touch
UPDATE refund SET looked_at = now() WHERE id = $1

-- name: tell
UPDATE refund SET told = true WHERE id = $1 AND NOT told RETURNING id
