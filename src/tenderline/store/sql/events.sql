-- name: append
INSERT INTO event (id, kind, person_id, payment_id, case_id, attempt_id, data)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::jsonb[])
