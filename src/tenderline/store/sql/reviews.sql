-- name: waiting
-- Who wrote something that nobody has read yet, the longest waiting first, with the case that it may be about.
SELECT p.id AS person_id, p.name, p.review_at AS since, p.opted_out_at, c.id AS case_id
FROM person p
LEFT JOIN LATERAL (
    SELECT id FROM recovery_case WHERE person_id = p.id
    ORDER BY state IN ('open', 'held') DESC, opened_at DESC LIMIT 1
) c ON true
WHERE p.review_at IS NOT NULL
ORDER BY p.review_at, p.id LIMIT $1

-- name: count
SELECT count(*) FROM person WHERE review_at IS NOT NULL

-- name: written
-- What each of these people wrote last, the newest first.
SELECT w.person_id, e.id, e.at, e.data FROM unnest($1::uuid[]) AS w (person_id)
CROSS JOIN LATERAL (
    SELECT id, at, data FROM event WHERE person_id = w.person_id AND kind = 'MessageReceived' ORDER BY id DESC LIMIT $2
) e
ORDER BY w.person_id, e.id DESC
