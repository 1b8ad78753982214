-- name: evidence
SELECT p.id, p.zone, p.address::text AS address, ARRAY(
    SELECT c.value FROM contact_point c WHERE c.person_id = p.id AND c.kind = 'phone' ORDER BY c.value LIMIT 50
) AS numbers
FROM person p WHERE p.id = ANY($1::uuid[])

-- name: keep
UPDATE person p SET
    place_zones = ARRAY(SELECT jsonb_array_elements_text(d.zones)),
    place_regions = ARRAY(SELECT jsonb_array_elements_text(d.regions)),
    place_evidence = d.evidence,
    place_version = $5
FROM unnest($1::uuid[], $2::jsonb[], $3::jsonb[], $4::text[]) AS d (id, zones, regions, evidence)
WHERE p.id = d.id

-- name: set_address
UPDATE person SET address = $2::jsonb WHERE id = $1

-- name: set_zone
UPDATE person SET zone = $2 WHERE id = $1

-- name: learn_address
-- A fuller address than the one that is known, unless she told hers herself; where she may be is derived anew.
UPDATE person SET address = $2::jsonb, place_version = ''
WHERE id = $1 AND NOT coalesce((address->>'own_word')::bool, false)
  AND (address IS NULL OR (address->'region' <> 'null')::int + (address->'postal_code' <> 'null')::int < $3)
RETURNING id
