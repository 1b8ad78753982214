-- name: queues
-- Who waits now. Somebody who is being rung for still waits; who hung up and keeps the place is counted apart.
SELECT q.name, q.title, q.rings, q.service_level_s, q.service_level_percent, coalesce(l.waiting, 0) AS waiting,
    coalesce(l.kept, 0) AS kept, l.oldest_at
FROM queue q LEFT JOIN (
    SELECT queue, count(*) FILTER (WHERE kept_at IS NULL)::int AS waiting,
        count(*) FILTER (WHERE kept_at IS NOT NULL)::int AS kept, min(entered_at) FILTER (WHERE kept_at IS NULL) AS oldest_at
    FROM waiting WHERE state <> 'left' AND state <> 'connected' GROUP BY queue
) AS l ON l.queue = q.name
ORDER BY q.name

-- name: periods
-- What became of those who got in line since midnight (UTC), and within the last half hour. Who kept the place and hung
-- up chose another way: neither answered nor abandoned. `counted` asks the same.
SELECT q.name AS queue, p.name AS period, s.answered, s.answered_in_time, s.abandoned, s.abandoned_late, s.overflowed
FROM (SELECT name, make_interval(secs => service_level_s) AS promised FROM queue OFFSET 0) AS q
CROSS JOIN (VALUES ('today', date_trunc('day', now(), 'UTC')), ('lately', now() - make_interval(secs => $1)))
    AS p (name, since)
CROSS JOIN LATERAL (
    SELECT count(w.connected_at)::int AS answered,
        count(*) FILTER (WHERE w.connected_at <= w.entered_at + q.promised)::int AS answered_in_time,
        (count(*) - count(w.connected_at))::int AS abandoned,
        count(*) FILTER (WHERE w.connected_at IS NULL AND w.left_at > w.entered_at + q.promised)::int AS abandoned_late,
        count(*) FILTER (WHERE w.overflowed)::int AS overflowed
    FROM waiting w
    WHERE w.queue = q.name AND w.entered_at >= p.since AND w.kept_at IS NULL
      AND (w.connected_at IS NOT NULL OR w.left_at IS NOT NULL)
      AND (w.outcome IS NULL OR w.outcome <> 'called_back' AND w.outcome <> 'callback_later')
) AS s

-- name: in_line
-- In the order in which they are served. `$2`: those who wait on the line, or those who keep their place.
SELECT w.id, c.id AS call_id, w.queue, w.caller, w.priority, w.tier, w.skills, w.overflowed, w.ring_min, w.entered_at,
    w.connected_at, w.left_at, w.outcome, w.kept_at, a.name AS agent
FROM waiting w
LEFT JOIN conversation c ON c.id = w.conversation_id
LEFT JOIN agent a ON a.id = w.agent_id
WHERE w.state <> 'left' AND w.state <> 'connected' AND ($1::text IS NULL OR w.queue = $1)
  AND (w.kept_at IS NOT NULL) = $2
ORDER BY w.returned DESC, w.rank_at, w.id LIMIT $3

-- name: counted
-- The rows behind the numbers of a queue and a period: `periods` counts the same.
SELECT w.id, c.id AS call_id, w.queue, w.caller, w.priority, w.tier, w.skills, w.overflowed, w.ring_min, w.entered_at,
    w.connected_at, w.left_at, w.outcome, w.kept_at, a.name AS agent
FROM waiting w
JOIN queue q ON q.name = w.queue
LEFT JOIN conversation c ON c.id = w.conversation_id
LEFT JOIN agent a ON a.id = w.agent_id
WHERE w.queue = $1 AND w.kept_at IS NULL AND coalesce(w.outcome, '') NOT IN ('called_back', 'callback_later')
  AND coalesce(w.connected_at, w.left_at) IS NOT NULL
  AND w.entered_at >= CASE $2::text WHEN 'today' THEN date_trunc('day', now(), 'UTC')
      ELSE now() - make_interval(secs => $3) END
  AND CASE $4::text
      WHEN 'answered' THEN w.connected_at IS NOT NULL
      WHEN 'abandoned' THEN w.connected_at IS NULL
      WHEN 'overflowed' THEN w.overflowed
      ELSE w.connected_at IS NOT NULL OR w.left_at > w.entered_at + make_interval(secs => q.service_level_s) END
ORDER BY w.entered_at DESC, w.id LIMIT $5

-- name: calls
SELECT id, caller, called, direction, ended_at IS NULL AS is_live FROM conversation WHERE id = ANY($1::uuid[])

-- name: callbacks
-- Who keeps a place in line is called in her turn, and not counted here.
SELECT count(*) FILTER (WHERE looks = 'overdue')::int AS overdue,
    count(*) FILTER (WHERE looks <> 'overdue' AND due_at <= now() + make_interval(secs => $1))::int AS due,
    count(*) FILTER (WHERE looks <> 'overdue' AND due_at > now() + make_interval(secs => $1))::int AS later
FROM callback_seen WHERE state = 'waiting' AND looks <> 'done' AND NOT keeps_place

-- name: callback_rows
SELECT id, number, due_at, person_id, conversation_id, created_at, attempt_state, why FROM callback_seen
WHERE state = 'waiting' AND looks <> 'done' AND NOT keeps_place
  AND CASE $2::text
      WHEN 'overdue' THEN looks = 'overdue'
      WHEN 'due' THEN looks <> 'overdue' AND due_at <= now() + make_interval(secs => $1)
      ELSE looks <> 'overdue' AND due_at > now() + make_interval(secs => $1) END
ORDER BY due_at, id LIMIT $3

-- name: in_card_entry
-- Live calls on which a card is being keyed in: by a flow, or for an agent, who sees how far it is.
SELECT c.id AS call_id, c.caller, c.called, c.direction, coalesce(s.started_at, x.started_at) AS since,
    coalesce(s.kind, 'secure_ivr') AS kind, x.mode, x.progress, x.asked_by
FROM conversation c
LEFT JOIN segment s ON s.conversation_id = c.id AND s.ended_at IS NULL AND s.kind IN ('secure_ivr', 'provider_ivr')
LEFT JOIN secure_session x ON x.conversation_id = c.id AND x.ended_at IS NULL
WHERE c.ended_at IS NULL AND (s.ordinal IS NOT NULL OR x.id IS NOT NULL)
ORDER BY since, c.id LIMIT $1

-- name: look_ups
-- The newest look-ups at the CRM. `$2`: of one state, of one reason, late ones, or all of them.
SELECT d.conversation_id, c.id AS call_id, d.caller, d.crm, d.state, d.reason, d.detail, d.is_late, d.took_ms, d.asked_at
FROM donor_snapshot d LEFT JOIN conversation c ON c.id = d.conversation_id
WHERE d.asked_at > now() - make_interval(secs => $1) AND d.crm IS NOT NULL
  AND CASE $2::text WHEN 'asked' THEN true WHEN 'late' THEN d.is_late
      WHEN 'failed' THEN d.state = 'failed' WHEN 'skipped' THEN d.state = 'skipped' ELSE d.reason = $2 END
ORDER BY d.asked_at DESC LIMIT $3
