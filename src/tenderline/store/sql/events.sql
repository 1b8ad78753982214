-- name: append
INSERT INTO event (id, kind, person_id, payment_id, case_id, attempt_id, data)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::jsonb[])

-- name: newest
SELECT id, at, data FROM event
WHERE ($2::uuid IS NULL OR id > $2)
ORDER BY id DESC LIMIT $1

-- name: of_case
-- A person's own words (opt-outs, replies) belong into every timeline of hers.
SELECT id, at, data FROM event WHERE case_id = $1
UNION
SELECT id, at, data FROM event WHERE payment_id = $2
UNION
SELECT id, at, data FROM event
WHERE person_id = $3 AND case_id IS NULL AND payment_id IS NULL
ORDER BY id DESC LIMIT $4
