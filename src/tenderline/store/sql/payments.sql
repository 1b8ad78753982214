-- name: known
SELECT person_id, id, status, transaction_status, reason, payer_conflict, observed FROM payment
WHERE gateway = $1 AND transaction_id = $2

-- name: find
SELECT person_id, id FROM payment WHERE gateway = $1 AND transaction_id = $2

-- name: get
SELECT person_id, id, gateway, transaction_id, status, transaction_status, amount_minor, currency, reason,
    invoice_reference, subscription_reference, payer_conflict, observed, created_at, updated_at
FROM payment WHERE id = $1

-- name: succeeded_at
SELECT to_timestamp(nullif((observed->>'succeeded_at_unix_s')::bigint, 0)) FROM payment WHERE id = $1

-- name: save
INSERT INTO payment (
    person_id, id, gateway, transaction_id, status, transaction_status, amount_minor, currency, reason,
    invoice_reference, subscription_reference, payer_conflict, observed
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (person_id, id) DO UPDATE SET
    status = excluded.status, transaction_status = excluded.transaction_status,
    amount_minor = excluded.amount_minor, currency = excluded.currency, reason = excluded.reason,
    invoice_reference = excluded.invoice_reference, subscription_reference = excluded.subscription_reference,
    payer_conflict = excluded.payer_conflict, observed = excluded.observed, updated_at = now()

-- name: stop
INSERT INTO gateway_stop (gateway, reference, event_id, occurred_at_unix_s) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING

-- name: stop_of
SELECT event_id, occurred_at_unix_s FROM gateway_stop WHERE gateway = $1 AND reference = $2

-- name: of_subscription
SELECT transaction_id FROM payment
WHERE gateway = $1 AND subscription_reference = $2 AND transaction_status <> 'COMPLETED'
ORDER BY transaction_id LIMIT 100

-- name: serialise
SELECT pg_advisory_xact_lock(hashtextextended($1 || ':' || id, 1)) FROM unnest($2::text[]) AS id

-- name: of_invoice
SELECT transaction_id FROM payment WHERE gateway = $1 AND invoice_reference = $2 ORDER BY created_at LIMIT 1
