-- name: counts
-- Everything the board counts, at one instant.
SELECT 'cases' AS what, state, count(*) AS count FROM recovery_case GROUP BY state
UNION ALL
SELECT 'attempts', state, count(*) FROM attempt GROUP BY state
UNION ALL
SELECT 'inbox', state, count(*) FROM inbox WHERE state IN ('unread', 'dead') GROUP BY state
UNION ALL
SELECT 'jobs', 'dead', count(*) FROM pgqueuer WHERE status = 'failed'
UNION ALL
SELECT 'people', 'review', count(*) FROM person WHERE review_at IS NOT NULL
UNION ALL
SELECT 'scans', 'found', coalesce(sum(findings), 0)::bigint FROM standing_finding
UNION ALL
SELECT 'money', 'unmatched', count(*) FROM unmatched_money WHERE settled_at IS NULL

-- name: newest_events
-- With whom they are about. News of a payment leads to the case that it is about.
SELECT e.id, e.at, e.data, p.name AS person_name,
    coalesce(e.case_id, (
        SELECT c.id FROM recovery_case c WHERE c.payment_id = e.payment_id ORDER BY c.opened_at DESC LIMIT 1
    )) AS case_id
FROM (SELECT id, at, data, person_id, payment_id, case_id FROM event ORDER BY id DESC LIMIT $1) e
LEFT JOIN person p ON p.id = e.person_id
ORDER BY e.id DESC

-- name: newest_cases
-- Those that wait for a person come first, then the newest: both ends are short walks along an index.
WITH wanted AS (
    (SELECT person_id, id FROM recovery_case WHERE state = 'held' ORDER BY opened_at DESC LIMIT $2)
    UNION
    (SELECT person_id, id FROM recovery_case ORDER BY opened_at DESC, id DESC LIMIT $1)
)
SELECT c.id, c.state, c.held_why, c.held_by, c.reason, c.amount_minor, c.currency, c.attempt_count, c.opened_at,
    p.name AS person_name, p.opted_out_at,
    n.channel AS next_channel, n.state AS next_state, n.due_at AS next_due_at, n.why AS next_why
FROM wanted w
JOIN recovery_case c ON c.person_id = w.person_id AND c.id = w.id
JOIN person p ON p.id = c.person_id
LEFT JOIN LATERAL (
    SELECT a.channel, a.state, a.due_at, a.why FROM attempt a
    WHERE a.case_id = c.id AND a.state IN ('planned', 'leased', 'in_doubt')
    ORDER BY a.due_at LIMIT 1
) n ON true
ORDER BY c.state = 'held' DESC, c.opened_at DESC, c.id DESC LIMIT $1

-- name: cases
-- A page of the list, newest first.
SELECT c.id, c.state, c.held_why, c.held_by, c.reason, c.amount_minor, c.currency, c.attempt_count, c.opened_at,
    p.name AS person_name, p.opted_out_at,
    n.channel AS next_channel, n.state AS next_state, n.due_at AS next_due_at, n.why AS next_why
FROM recovery_case c
JOIN person p ON p.id = c.person_id
LEFT JOIN LATERAL (
    SELECT a.channel, a.state, a.due_at, a.why FROM attempt a
    WHERE a.case_id = c.id AND a.state IN ('planned', 'leased', 'in_doubt')
    ORDER BY a.due_at LIMIT 1
) n ON true
WHERE ($1::text IS NULL OR c.state = $1)
  AND ($2::timestamptz IS NULL OR (c.opened_at, c.id) < ($2, $3::uuid))
ORDER BY c.opened_at DESC, c.id DESC LIMIT $4

-- name: newest_attempts
-- Those of which something was told last. Reading back a bounded piece of the events is cheaper than any index on
-- attempts would be, which every worker would have to keep.
WITH news AS (
    SELECT DISTINCT ON (attempt_id) attempt_id, id
    FROM (SELECT id, attempt_id FROM event ORDER BY id DESC LIMIT $2) e
    WHERE attempt_id IS NOT NULL
    ORDER BY attempt_id, id DESC
)
SELECT a.id, a.case_id, a.channel, a.state, a.due_at, a.tries, a.provider, a.decision, a.why, a.updated_at,
    p.name AS person_name, q.kind AS address_kind, q.value AS address
FROM news n
JOIN attempt a ON a.id = n.attempt_id
JOIN person p ON p.id = a.person_id
LEFT JOIN contact_point q ON q.person_id = a.person_id AND q.id = a.contact_point_id
ORDER BY n.id DESC LIMIT $1

-- name: attempts
-- A page of the list; ids sort by the time an attempt was planned.
SELECT a.id, a.case_id, a.channel, a.state, a.due_at, a.tries, a.provider, a.decision, a.why, a.updated_at,
    p.name AS person_name, q.kind AS address_kind, q.value AS address
FROM attempt a
JOIN person p ON p.id = a.person_id
LEFT JOIN contact_point q ON q.person_id = a.person_id AND q.id = a.contact_point_id
WHERE ($1::text IS NULL OR a.state = $1) AND ($2::uuid IS NULL OR a.id < $2)
ORDER BY a.id DESC LIMIT $3

-- name: attempts_of_case
SELECT a.id, a.case_id, a.channel, a.state, a.due_at, a.tries, a.provider, a.decision, a.why, a.updated_at,
    p.name AS person_name, q.kind AS address_kind, q.value AS address
FROM attempt a
JOIN person p ON p.id = a.person_id
LEFT JOIN contact_point q ON q.person_id = a.person_id AND q.id = a.contact_point_id
WHERE a.person_id = $1 AND a.case_id = $2
ORDER BY a.due_at, a.id LIMIT $3

-- name: unread
SELECT id, source, event_type, event_id, received_at, tries, next_try_at, error FROM inbox
WHERE state = 'unread' ORDER BY urgency, id LIMIT $1

-- name: lock_dead_jobs
SELECT id FROM pgqueuer WHERE status = 'failed' AND id = ANY($1::bigint[]) ORDER BY id FOR UPDATE

-- name: lock_dead_webhooks
SELECT id FROM inbox WHERE state = 'dead' AND id = ANY($1::bigint[]) ORDER BY id FOR UPDATE

-- name: events_of_case
-- A person's own words (opt-outs, replies) belong into every timeline of hers. The newest, when there are too many.
SELECT id, at, data FROM event WHERE case_id = $1
UNION
SELECT id, at, data FROM event WHERE payment_id = $2
UNION
SELECT id, at, data FROM event
WHERE person_id = $3 AND case_id IS NULL AND payment_id IS NULL
ORDER BY id DESC LIMIT $4

-- name: events_of_attempt
-- By way of the person: her events have an index, and attempts of one person are few.
SELECT id, at, data, case_id FROM event WHERE person_id = $1 AND attempt_id = $2 ORDER BY id LIMIT $3
