-- name: reserve
INSERT INTO pay_page (person_id, case_id, number, amount_minor, currency, description, return_url)
VALUES ($1, $2, 1, $3, $4, $5, $6)
ON CONFLICT (person_id, case_id) DO NOTHING

-- name: get
SELECT person_id, case_id, number, amount_minor, currency, description, return_url, url, reference,
    extract(epoch FROM expires_at - clock_timestamp())::double precision AS expires_in_s
FROM pay_page WHERE person_id = $1 AND case_id = $2

-- name: keep
-- Two who asked under one number were given one page: the second finds it kept. Never over another page.
UPDATE pay_page SET url = $4, reference = $5, expires_at = to_timestamp($6::double precision), updated_at = now()
WHERE person_id = $1 AND case_id = $2 AND number = $3 AND (url IS NULL OR reference = $5)
RETURNING number

-- name: renew
-- Only from the very page that was seen: whoever comes second finds that it has been renewed.
UPDATE pay_page SET number = number + 1, amount_minor = $5, currency = $6, description = $7, return_url = $8,
    url = NULL, reference = NULL, expires_at = NULL, updated_at = now()
WHERE person_id = $1 AND case_id = $2 AND number = $3 AND reference IS NOT DISTINCT FROM $4

-- name: of_payment
SELECT g.person_id, g.case_id, number, g.amount_minor, g.currency, description, return_url, url, reference,
    extract(epoch FROM expires_at - clock_timestamp())::double precision AS expires_in_s
FROM recovery_case c JOIN pay_page g ON g.person_id = c.person_id AND g.case_id = c.id
WHERE c.person_id = $1 AND c.payment_id = $2 LIMIT 50
