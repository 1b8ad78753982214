-- name: of_transaction
-- Whether there ever was a case for it: a debt that was given up is not taken up again by another event.
SELECT id, person_id, state, held_why, held_by FROM recovery_case
WHERE gateway = $1 AND transaction_id = $2
ORDER BY opened_at DESC LIMIT 1 FOR UPDATE

-- name: open
INSERT INTO recovery_case (
    person_id, id, payment_id, gateway, transaction_id, state, held_why, held_by, reason, amount_minor, currency,
    policy
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (gateway, transaction_id) WHERE state IN ('open', 'held') DO NOTHING
RETURNING id

-- name: refresh
-- A repeat updates what is known of the debt; it never resets counters or due times.
UPDATE recovery_case SET reason = $3, amount_minor = $4, currency = $5
WHERE person_id = $1 AND id = $2 AND state IN ('open', 'held')

-- name: hold
UPDATE recovery_case SET state = 'held', held_why = $3, held_by = $4
WHERE person_id = $1 AND id = $2 AND (state = 'open' OR (state = 'held' AND (held_why, held_by) IS DISTINCT FROM ($3, $4)))
RETURNING id

-- name: open_of_person
SELECT id FROM recovery_case
WHERE person_id = $1 AND (state = 'open' OR (state = 'held' AND held_by = 'system')) ORDER BY id LIMIT 200

-- name: held_by
SELECT id FROM recovery_case WHERE person_id = $1 AND state = 'held' AND held_by = $2 ORDER BY id LIMIT 200

-- name: release
UPDATE recovery_case SET state = 'open', held_why = NULL, held_by = NULL
WHERE person_id = $1 AND id = $2 AND state = 'held'
RETURNING id

-- name: close
UPDATE recovery_case SET state = $3, closed_at = now(), held_why = NULL, held_by = NULL, next_retry_window = NULL
WHERE person_id = $1 AND id = $2 AND state IN ('open', 'held')
RETURNING id

-- name: get
SELECT c.person_id, c.id, c.payment_id, c.gateway, c.transaction_id, c.state, c.held_why, c.held_by, c.reason, c.amount_minor,
    c.currency, c.attempt_count, c.next_retry_window, c.disposition, c.policy, c.custom_properties, c.opened_at,
    c.closed_at, p.name AS person_name, p.locale, p.opted_out_at, p.zone,
    y.status AS payment_status, y.transaction_status, y.observed
FROM recovery_case c
JOIN person p ON p.id = c.person_id
JOIN payment y ON y.person_id = c.person_id AND y.id = c.payment_id
WHERE c.id = $1

-- name: page
-- Newest first, after a cursor; a state filters.
SELECT c.person_id, c.id, c.payment_id, c.gateway, c.transaction_id, c.state, c.held_why, c.held_by, c.reason, c.amount_minor,
    c.currency, c.attempt_count, c.next_retry_window, c.disposition, c.policy, c.custom_properties, c.opened_at,
    c.closed_at, p.name AS person_name, p.locale, p.opted_out_at, p.zone,
    y.status AS payment_status, y.transaction_status, y.observed
FROM recovery_case c
JOIN person p ON p.id = c.person_id
JOIN payment y ON y.person_id = c.person_id AND y.id = c.payment_id
WHERE ($1::text IS NULL OR c.state = $1)
  AND ($2::timestamptz IS NULL OR (c.opened_at, c.id) < ($2, $3))
ORDER BY c.opened_at DESC, c.id DESC LIMIT $4

-- name: count_contact
UPDATE recovery_case SET attempt_count = attempt_count + 1 WHERE person_id = $1 AND id = $2

-- name: spent
-- Open cases whose last contact is over and behind them by the policy's patience.
SELECT c.person_id, c.id FROM recovery_case c
WHERE c.state = 'open' AND c.opened_at < now() - make_interval(days => $1)
  AND NOT EXISTS (
      SELECT FROM attempt a WHERE a.person_id = c.person_id AND a.case_id = c.id
        -- A doubt that nobody can settle (SMTP cannot be asked) does not keep a case open for ever.
        AND (a.state IN ('planned', 'leased') OR a.updated_at > now() - make_interval(days => $1))
  )
ORDER BY c.opened_at LIMIT $2
