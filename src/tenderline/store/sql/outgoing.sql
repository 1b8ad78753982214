-- name: untold_of
-- What a person said since an endpoint is told of it, and what it was not told yet.
SELECT e.id AS message_id, e.person_id, e.at, e.data::text AS data, w.id AS endpoint_id
FROM event e JOIN webhook_endpoint w ON w.disabled_at IS NULL AND e.at >= w.told_from
WHERE e.person_id = $1 AND e.kind = ANY($2::text[]) AND e.at >= now() - make_interval(days => $3)
  AND NOT EXISTS (SELECT FROM outgoing_webhook o WHERE o.endpoint_id = w.id AND o.message_id = e.id)
ORDER BY e.id, w.id

-- name: untold_since
-- Events of which an endpoint was never told: it was added, or enabled again, later.
SELECT e.id AS message_id, e.person_id, e.at, e.data::text AS data, w.id AS endpoint_id
FROM event e JOIN webhook_endpoint w ON w.id = $1 AND w.disabled_at IS NULL
WHERE e.at >= $2 AND e.kind IN ('PersonOptedOut', 'PersonOptedIn') AND e.kind = ANY($3::text[])
  AND NOT EXISTS (SELECT FROM outgoing_webhook o WHERE o.endpoint_id = w.id AND o.message_id = e.id)
ORDER BY e.at, e.id LIMIT $4

-- name: subscriptions
SELECT id, events FROM webhook_endpoint WHERE disabled_at IS NULL

-- name: reached
SELECT person_id, kind, value FROM contact_point
WHERE person_id = ANY($1::uuid[]) AND kind IN ('phone', 'email') ORDER BY created_at, id LIMIT $2

-- name: plan
-- An endpoint that was removed meanwhile is told nothing.
INSERT INTO outgoing_webhook (person_id, id, endpoint_id, message_id, kind, body, next_try_at)
SELECT n.person_id, n.id, n.endpoint_id, n.message_id, n.kind, n.body, now()
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[])
    AS n (person_id, id, endpoint_id, message_id, kind, body)
JOIN webhook_endpoint w ON w.id = n.endpoint_id
ON CONFLICT (endpoint_id, message_id) DO NOTHING
RETURNING id

-- name: lock_ready
-- Endpoints with something due; one that another worker looks at is left to it. Locked before anything is counted, so
-- that no two workers count at once.
SELECT e.id FROM webhook_endpoint e
WHERE e.disabled_at IS NULL AND (e.paused_until IS NULL OR e.paused_until <= now())
  AND EXISTS (
    SELECT FROM outgoing_webhook w WHERE w.endpoint_id = e.id AND w.state = 'waiting'
      AND w.next_try_at <= now() AND (w.leased_until IS NULL OR w.leased_until <= now())
  )
ORDER BY random() LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED

-- name: lease
-- As many of each endpoint as may be under way at once; of one that fails, a single one.
UPDATE outgoing_webhook w SET
    tries = w.tries + 1, leased_until = now() + make_interval(secs => $2), last_try_at = now()
FROM (
    SELECT due.id AS due_id, e.id, e.url, e.secret,
        CASE WHEN e.old_secret_until > now() THEN e.old_secret END AS old_secret
    FROM webhook_endpoint e CROSS JOIN LATERAL (
        SELECT o.id FROM outgoing_webhook o
        WHERE o.endpoint_id = e.id AND o.state = 'waiting'
          AND o.next_try_at <= now() AND (o.leased_until IS NULL OR o.leased_until <= now())
        ORDER BY o.next_try_at
        LIMIT greatest(0, CASE WHEN e.failures = 0 THEN $3::int ELSE 1 END - (
            SELECT count(*) FROM outgoing_webhook u
            WHERE u.endpoint_id = e.id AND u.state = 'waiting' AND u.leased_until > now()
        ))
        FOR UPDATE SKIP LOCKED
    ) due
    WHERE e.id = ANY($1::uuid[])
) q
WHERE w.id = q.due_id
RETURNING w.id, w.endpoint_id, w.message_id, w.kind, w.body, w.tries, w.tries - w.schedule_from AS try_number,
    q.url, q.secret, q.old_secret

-- name: lease_one
-- A message that somebody sends by hand, whatever else waits.
UPDATE outgoing_webhook w SET
    tries = w.tries + 1, leased_until = now() + make_interval(secs => $2), last_try_at = now()
FROM webhook_endpoint e
WHERE w.id = $1 AND e.id = w.endpoint_id AND w.state = 'waiting'
RETURNING w.id, w.endpoint_id, w.message_id, w.kind, w.body, w.tries, w.tries - w.schedule_from AS try_number,
    e.url, e.secret, CASE WHEN e.old_secret_until > now() THEN e.old_secret END AS old_secret

-- name: lock_endpoints
-- Always before rows of theirs, so that nobody waits in a circle.
SELECT id FROM webhook_endpoint WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE

-- name: lock_endpoints_of
SELECT id FROM webhook_endpoint WHERE id IN (SELECT endpoint_id FROM outgoing_webhook WHERE id = ANY($1::uuid[]))
ORDER BY id FOR NO KEY UPDATE

-- name: record
-- Once for each lease. Who arrived after all has arrived, also when the message was given up meanwhile; a failure
-- does not bring it back.
UPDATE outgoing_webhook SET
    state = CASE WHEN $3 = 'delivered' OR state = 'waiting' THEN $3 ELSE state END,
    leased_until = NULL, last_status = $4, why = $5,
    next_try_at = CASE WHEN $3 = 'waiting' AND state = 'waiting'
        THEN clock_timestamp() + make_interval(secs => $6) END
WHERE id = $1 AND tries = $2 AND state <> 'delivered'
RETURNING id

-- name: note_success
UPDATE webhook_endpoint SET failures = 0, failing_since = NULL, paused_until = NULL
WHERE id = $1 AND failures > 0

-- name: note_failure
UPDATE webhook_endpoint SET
    failures = failures + 1, failing_since = coalesce(failing_since, now()),
    paused_until = greatest(paused_until, now() + make_interval(secs => greatest($2, CASE
        WHEN failures + 1 < $3 THEN 0 ELSE least($4, $5 * 2 ^ least(failures + 1 - $3, 20)) END)))
WHERE id = $1
RETURNING failing_since < now() - make_interval(days => $6) AS is_hopeless

-- name: give_up_waiting_of
UPDATE outgoing_webhook SET state = 'failed', next_try_at = NULL, why = $2
WHERE endpoint_id = $1 AND state = 'waiting'

-- name: sweep
DELETE FROM outgoing_webhook WHERE id IN (
    SELECT id FROM outgoing_webhook
    WHERE state <> 'waiting' AND created_at < now() - make_interval(days => $1) ORDER BY created_at LIMIT $2
)

-- name: replay
-- Missed ones go out again under the id they had, their pauses beginning anew. What is under way is left alone.
UPDATE outgoing_webhook w SET
    state = 'waiting', schedule_from = w.tries, next_try_at = now(), leased_until = NULL, why = NULL
FROM (
    SELECT o.id FROM outgoing_webhook o JOIN webhook_endpoint e ON e.id = o.endpoint_id
    WHERE o.created_at >= $1 AND e.disabled_at IS NULL AND o.endpoint_id = $2 AND o.kind <> $4
      AND (o.state = 'failed' OR ($3 AND o.state = 'delivered') OR (o.state = 'waiting' AND o.next_try_at > now()))
      AND (o.leased_until IS NULL OR o.leased_until <= now())
    ORDER BY o.created_at, o.id LIMIT $5
    FOR UPDATE OF o SKIP LOCKED
) q
WHERE w.id = q.id
RETURNING w.id

-- name: replay_chosen
UPDATE outgoing_webhook w SET
    state = 'waiting', schedule_from = w.tries, next_try_at = now(), leased_until = NULL, why = NULL
FROM webhook_endpoint e
WHERE w.id = ANY($1::uuid[]) AND e.id = w.endpoint_id AND e.disabled_at IS NULL AND w.kind <> $3
  AND (w.state = 'failed' OR ($2 AND w.state = 'delivered') OR (w.state = 'waiting' AND w.next_try_at > now()))
  AND (w.leased_until IS NULL OR w.leased_until <= now())
RETURNING w.id, w.endpoint_id

-- name: end_pauses
UPDATE webhook_endpoint SET paused_until = NULL WHERE id = ANY($1::uuid[]) AND paused_until IS NOT NULL

-- name: states_of
SELECT w.id, w.state, e.disabled_at IS NOT NULL AS is_disabled
FROM outgoing_webhook w JOIN webhook_endpoint e ON e.id = w.endpoint_id WHERE w.id = ANY($1::uuid[])

-- name: page
SELECT w.id, w.endpoint_id, w.message_id, w.kind, w.state, w.tries, w.next_try_at, w.last_try_at, w.last_status, w.why,
    w.created_at, e.url
FROM outgoing_webhook w JOIN webhook_endpoint e ON e.id = w.endpoint_id
WHERE ($1::text IS NULL OR w.state = $1) AND ($2::uuid IS NULL OR w.endpoint_id = $2)
  AND ($3::timestamptz IS NULL OR (w.created_at, w.id) < ($3, $4::uuid))
ORDER BY w.created_at DESC, w.id DESC LIMIT $5
