-- name: add
INSERT INTO consent (person_id, id, channel, address, granted, how, evidence, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8, clock_timestamp()))

-- name: standing_refusal
-- The oldest refusal that no later word of the same address took back.
SELECT c.at, c.channel || ':' || c.address AS by
FROM consent c
WHERE c.person_id = $1 AND NOT c.granted AND NOT EXISTS (
    SELECT FROM consent g
    WHERE g.person_id = $1 AND g.channel = c.channel AND g.address = c.address AND g.granted AND g.at > c.at
)
ORDER BY c.at, by LIMIT 1

-- name: set_opt_out
UPDATE person SET opted_out_at = $2, opted_out_by = $3 WHERE id = $1
