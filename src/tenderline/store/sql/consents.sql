-- name: add
INSERT INTO consent (person_id, id, channel, address, granted, how, evidence, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8, clock_timestamp()))

-- name: agree
INSERT INTO consent (
    person_id, id, channel, address, granted, how, evidence, at, class, purposes, expires_at, disclosure_sha256
)
SELECT $1, c.id, c.channel, $4, true, $5, $6, coalesce($7, clock_timestamp()), $8, $9, $10, $11
FROM unnest($2::uuid[], $3::text[]) AS c (id, channel)
WHERE NOT ($12 AND EXISTS (
    SELECT FROM consent k
    WHERE k.person_id = $1 AND k.address = $4 AND k.channel = c.channel AND k.how = $5 AND k.class = $8
))
RETURNING id

-- name: derive_standing
-- The agreements that no later (or simultaneous) refusal of the same channel and address took back, beside the address.
UPDATE contact_point p SET consents = coalesce((
    SELECT jsonb_agg(DISTINCT jsonb_strip_nulls(jsonb_build_object(
        'class', c.class, 'channel', c.channel, 'purposes', to_jsonb(c.purposes), 'expires_at', c.expires_at
    )))::text
    FROM consent c
    WHERE c.person_id = $1 AND c.address = $2 AND c.granted AND c.class IS NOT NULL AND NOT EXISTS (
        SELECT FROM consent r
        WHERE r.person_id = $1 AND r.channel = c.channel AND r.address = c.address AND NOT r.granted AND r.at >= c.at
    )
), '[]')
WHERE p.person_id = $1 AND p.value = $2

-- name: derive_opt_out
-- Every refusal that no later word of the same address took back: since when, by whose word, on which channels.
WITH standing AS (
    SELECT c.at, c.channel, c.channel || ':' || c.address AS by
    FROM consent c
    WHERE c.person_id = $1 AND NOT c.granted AND NOT EXISTS (
        SELECT FROM consent g
        WHERE g.person_id = $1 AND g.channel = c.channel AND g.address = c.address AND g.granted AND g.class IS NULL
          AND g.at > c.at
    )
)
UPDATE person SET
    opted_out_at = (SELECT min(at) FROM standing),
    opted_out_by = (SELECT by FROM standing ORDER BY at, by LIMIT 1),
    opted_out_channels = coalesce((SELECT array_agg(DISTINCT channel ORDER BY channel) FROM standing), '{}')
WHERE id = $1
RETURNING opted_out_at

-- name: of_person
SELECT channel, address, granted, how, evidence, at, class AS consent_class, purposes, expires_at FROM consent
WHERE person_id = $1 ORDER BY at DESC, id DESC LIMIT $2
