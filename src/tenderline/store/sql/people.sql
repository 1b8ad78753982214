-- name: serialise
-- Two webhooks about the same new payer must not make two people: one waits here for the other.
SELECT pg_advisory_xact_lock(hashtextextended(key, 0)) FROM unnest($1::text[]) AS key

-- name: owners
SELECT kind, person_id FROM contact_point WHERE (kind, value) IN (('phone', $1), ('email', $2))
UNION ALL
SELECT 'reference', person_id FROM person_reference WHERE source = $3 AND value = $4

-- name: create
INSERT INTO person (id, name, locale) VALUES ($1, $2, $3)

-- name: learn
UPDATE person SET name = coalesce(name, $2), locale = coalesce(locale, $3)
WHERE id = $1 AND ((name IS NULL AND $2::text IS NOT NULL) OR (locale IS NULL AND $3::text IS NOT NULL))

-- name: add_contact_point
INSERT INTO contact_point (person_id, id, kind, value) VALUES ($1, $2, $3, $4)
ON CONFLICT (kind, value) DO NOTHING RETURNING id

-- name: forget_place
-- Something that tells where she may be has changed: it is derived anew where it is asked for.
UPDATE person SET place_version = '' WHERE id = $1

-- name: add_reference
INSERT INTO person_reference (person_id, source, value) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING

-- name: lock
SELECT id, name, locale, zone, opted_out_at, opted_out_by, distress_until, review_at,
    paused_until, declined_channels
FROM person WHERE id = $1 FOR UPDATE

-- name: lock_all
SELECT FROM person WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE

-- name: get
SELECT id, name, locale, zone, opted_out_at, opted_out_by, distress_until, review_at,
    paused_until, declined_channels
FROM person WHERE id = $1

-- name: contact_points
SELECT id, kind, value, state, state_why FROM contact_point WHERE person_id = $1 ORDER BY created_at, id LIMIT 50

-- name: contact_point
SELECT person_id, id, kind, value, state, state_why FROM contact_point WHERE id = $1

-- name: by_address
SELECT person_id, id FROM contact_point WHERE kind = $1 AND value = $2

-- name: ask_for_review
UPDATE person SET review_at = coalesce(review_at, clock_timestamp()) WHERE id = $1

-- name: reviewed
UPDATE person SET review_at = NULL WHERE id = $1

-- name: mark_unusable
UPDATE contact_point SET state = 'unusable', state_why = $3
WHERE person_id = $1 AND id = $2 AND state = 'usable' RETURNING kind

-- name: adopt_payments
UPDATE payment SET person_id = $2 WHERE person_id = $1

-- name: adopt_cases
UPDATE recovery_case SET person_id = $2 WHERE person_id = $1

-- name: adopt_pay_pages
UPDATE pay_page SET person_id = $2 WHERE person_id = $1

-- name: adopt_accounts
UPDATE account SET person_id = $2 WHERE person_id = $1

-- name: adopt_references
UPDATE person_reference SET person_id = $2 WHERE person_id = $1

-- name: is_in_distress
SELECT EXISTS (SELECT FROM person WHERE id = $1 AND distress_until > now())
