-- name: fitting
-- The campaign's own before the queue's, and that before the one for all; of each name the newest version.
SELECT name, version, title, steps::text AS steps, queues, campaigns, enabled, created_at, created_by FROM (
    SELECT DISTINCT ON (name) * FROM script ORDER BY name, version DESC
) newest
WHERE enabled AND ($1 = ANY(campaigns) OR campaigns = '{}') AND ($2 = ANY(queues) OR queues = '{}')
ORDER BY campaigns = '{}', queues = '{}', name LIMIT 1

-- name: newest
SELECT DISTINCT ON (name) name, version, title, steps::text AS steps, queues, campaigns, enabled, created_at, created_by
FROM script ORDER BY name, version DESC

-- name: lock
SELECT pg_advisory_xact_lock(hashtextextended('script:' || $1, 0))

-- name: add
INSERT INTO script (name, version, title, steps, queues, campaigns, enabled, created_by)
SELECT $1, coalesce(max(version), 0) + 1, $2, $3::jsonb, $4::text[], $5::text[], $6, $7 FROM script WHERE name = $1
RETURNING version
