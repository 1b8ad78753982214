-- name: add
INSERT INTO webhook_endpoint (id, url, events, secret, name) VALUES ($1, $2, $3, $4, $5)

-- name: named
SELECT id, url, secret, CASE WHEN old_secret_until > now() THEN old_secret END AS old_secret
FROM webhook_endpoint WHERE name = $1 AND disabled_at IS NULL

-- name: count
SELECT count(*) FROM webhook_endpoint

-- name: list
SELECT e.id, e.url, e.events, e.name, e.disabled_at, e.disabled_why, e.failing_since, e.failures, e.created_at,
    CASE WHEN e.paused_until > now() THEN e.paused_until END AS paused_until,
    CASE WHEN e.old_secret_until > now() THEN e.old_secret_until END AS old_secret_until,
    (SELECT count(*) FROM (
        SELECT FROM outgoing_webhook w WHERE w.endpoint_id = e.id AND w.state = 'failed' LIMIT $2
    ) f) AS failed,
    (SELECT count(*) FROM (
        SELECT FROM outgoing_webhook w WHERE w.endpoint_id = e.id AND w.state = 'waiting' LIMIT $2
    ) f) AS waiting
FROM webhook_endpoint e WHERE ($1::uuid IS NULL OR e.id = $1) ORDER BY e.created_at, e.id LIMIT $2

-- name: change_secret
UPDATE webhook_endpoint SET
    old_secret = secret, old_secret_until = now() + make_interval(hours => $3), secret = $2
WHERE id = $1 RETURNING id

-- name: disable
UPDATE webhook_endpoint SET disabled_at = now(), disabled_why = $2, paused_until = NULL
WHERE id = $1 AND disabled_at IS NULL RETURNING url

-- name: enable
UPDATE webhook_endpoint SET
    disabled_at = NULL, disabled_why = NULL, told_from = now(), failures = 0, failing_since = NULL, paused_until = NULL
WHERE id = $1 AND disabled_at IS NOT NULL RETURNING id

-- name: remove
DELETE FROM webhook_endpoint WHERE id = $1 RETURNING url
