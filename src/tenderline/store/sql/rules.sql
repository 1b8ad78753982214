-- name: newest_change
SELECT coalesce(max(number), 0) FROM rule_change

-- name: changes
SELECT number, rule_id, action, rows::text AS rows, by_whom, why, at FROM rule_change ORDER BY number LIMIT $1

-- name: add_change
-- Numbers are taken and committed in one order: whoever reads the newest number has everything before it.
WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtextextended('rule_change', 2)))
INSERT INTO rule_change (rule_id, action, rows, by_whom, why) SELECT $1, $2, $3::jsonb, $4, $5 FROM turn
