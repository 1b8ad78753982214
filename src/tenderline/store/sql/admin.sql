-- name: counts
-- What there is to be administered, for its first page.
SELECT
    (SELECT count(*) FROM app_user WHERE disabled_at IS NULL) AS users,
    (SELECT count(*) FROM app_user WHERE disabled_at IS NOT NULL) AS users_disabled,
    (SELECT count(*) FROM app_user WHERE disabled_at IS NULL AND role = 'admin') AS admins,
    (SELECT count(*) FROM oauth_client WHERE disabled_at IS NULL) AS clients,
    (SELECT count(*) FROM oauth_client WHERE disabled_at IS NOT NULL) AS clients_disabled,
    (SELECT count(*) FROM queue) AS queues,
    (SELECT count(*) FROM waiting WHERE state IN ('waiting', 'offered')) AS callers,
    (SELECT count(*) FROM skill) AS skills,
    (SELECT count(*) FROM agent WHERE enabled) AS agents,
    (SELECT count(*) FROM agent a JOIN agent_presence p ON p.agent_id = a.id
        WHERE a.enabled AND p.state <> 'offline') AS agents_here,
    (SELECT count(*) FROM telephone_line) AS lines,
    (SELECT count(*) FROM telephone WHERE enabled) AS telephones,
    (SELECT count(*) FROM calling_campaign WHERE enabled) AS campaigns,
    (SELECT count(*) FROM disposition WHERE enabled) AS dispositions,
    (SELECT count(DISTINCT name) FROM script) AS scripts,
    (SELECT coalesce(max(version), 0) FROM segment_rules) AS segments_version,
    (SELECT number FROM audit_head) AS audit_rows

-- name: queues
-- Of every queue: who waits, who serves it, and which of those are logged in.
SELECT q.name,
    (SELECT count(*) FROM waiting w WHERE w.queue = q.name AND w.state IN ('waiting', 'offered'))::int AS callers,
    count(a.id)::int AS agents,
    count(a.id) FILTER (WHERE p.state <> 'offline')::int AS agents_here
FROM queue q
LEFT JOIN agent_queue s ON s.queue = q.name
LEFT JOIN agent a ON a.id = s.agent_id AND a.enabled
LEFT JOIN agent_presence p ON p.agent_id = a.id
GROUP BY q.name

-- name: audit_found
-- Newest first, from a row on; NULL: any. An actor or a subject is found by how it begins.
SELECT number, at, actor, action, subject, data FROM audit
WHERE ($1::bigint IS NULL OR number < $1)
  AND ($2::text IS NULL OR starts_with(actor, $2))
  AND ($3::text IS NULL OR action = $3)
  AND ($4::text IS NULL OR starts_with(subject, $4))
  AND ($5::timestamptz IS NULL OR at >= $5)
  AND ($6::timestamptz IS NULL OR at < $6)
ORDER BY number DESC LIMIT $7

-- name: audit_actions
-- Every action that was ever written down, by hops over the index.
WITH RECURSIVE hops (action) AS (
    (SELECT action FROM audit ORDER BY action LIMIT 1)
    UNION ALL
    SELECT (SELECT a.action FROM audit a WHERE a.action > h.action ORDER BY a.action LIMIT 1)
    FROM hops h WHERE h.action IS NOT NULL
)
SELECT action FROM hops WHERE action IS NOT NULL LIMIT 500
