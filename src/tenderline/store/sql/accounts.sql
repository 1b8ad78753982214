-- name: get
SELECT number, person_id, pin_hash IS NOT NULL AS has_pin, postal_code, balance_minor, currency, read_in_at
FROM account WHERE number = $1

-- name: put
-- A PIN that is not told stays as it was.
INSERT INTO account (number, person_id, pin_hash, postal_code, balance_minor, currency) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (number) DO UPDATE SET
    pin_hash = coalesce(excluded.pin_hash, account.pin_hash), postal_code = excluded.postal_code,
    balance_minor = excluded.balance_minor, currency = excluded.currency, read_in_at = now()
RETURNING xmax = 0

-- name: remove
DELETE FROM account WHERE number = $1 RETURNING number

-- name: candidate
SELECT a.number, a.person_id, p.name, a.pin_hash, a.postal_code, a.balance_minor, a.currency,
    EXISTS (SELECT FROM contact_point q WHERE q.person_id = p.id AND q.kind = 'phone' AND q.value = $2) AS is_callers
FROM account a JOIN person p ON p.id = a.person_id
WHERE a.number = $1

-- name: of_caller
-- Two are more than one: then she is asked.
SELECT a.number, p.name FROM contact_point q
JOIN person p ON p.id = q.person_id
JOIN account a ON a.person_id = p.id
WHERE q.kind = 'phone' AND q.value = $1
LIMIT 2

-- name: count_try
-- A window begins with its first try; tries while it is closed do not prolong it.
INSERT INTO identification_try AS t (subject, since, tries) VALUES ($1, now(), 1)
ON CONFLICT (subject) DO UPDATE SET
    tries = CASE WHEN t.since < now() - make_interval(secs => $2) THEN 1 ELSE least(t.tries + 1, 1000000) END,
    since = CASE WHEN t.since < now() - make_interval(secs => $2) THEN now() ELSE t.since END
RETURNING tries

-- name: tries
SELECT tries FROM identification_try WHERE subject = $1 AND since >= now() - make_interval(secs => $2)

-- name: forget_tries
DELETE FROM identification_try WHERE subject = $1

-- name: take_try_back
UPDATE identification_try SET tries = greatest(0, tries - 1) WHERE subject = $1

-- name: sweep_tries
DELETE FROM identification_try WHERE subject IN (
    SELECT subject FROM identification_try WHERE since < now() - make_interval(secs => $1)
    LIMIT 500 FOR UPDATE SKIP LOCKED
)

-- name: book
-- Only where it is the account of whoever pays.
UPDATE capture_session s SET account = a.number FROM account a
WHERE s.id = $1 AND a.number = $2 AND a.person_id = s.person_id

-- name: paid
-- In the transaction that marks the session as completed, which happens once.
UPDATE account a SET balance_minor = greatest(0, a.balance_minor - s.amount_minor)
FROM capture_session s WHERE s.id = $1 AND a.number = s.account AND a.currency = s.currency
