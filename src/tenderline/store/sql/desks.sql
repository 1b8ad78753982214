-- name: versions
-- One short text for every user with a desk, which changes when her desk would show something else: by the versions of
-- the very rows that are shown. One query for all desks that are open.
SELECT a.user_id, md5(concat_ws('|', p.state, p.reason, p.since, p.until, p.next_state, p.next_reason, p.queue,
    p.reach_kind, coalesce(p.reach_until > clock_timestamp(), false), s.id, c.xmin, d.xmin, l.xmin, v.xmin,
    (SELECT string_agg(concat(w.xmin), ',' ORDER BY w.id) FROM waiting w WHERE w.conversation_id = s.id),
    (SELECT string_agg(concat(g.xmin), ',' ORDER BY g.ordinal) FROM segment g WHERE g.conversation_id = s.id),
    (SELECT string_agg(concat(f.xmin), ',' ORDER BY f.ordinal) FROM flow_step f WHERE f.conversation_id = s.id),
    (SELECT string_agg(concat(o.xmin), ',' ORDER BY o.id) FROM participant o WHERE o.conversation_id = s.id),
    (SELECT string_agg(concat(y.xmin), ',' ORDER BY y.id) FROM secure_session y WHERE y.conversation_id = s.id),
    (SELECT string_agg(concat(k.xmin), ',' ORDER BY k.id) FROM capture_session k WHERE k.conversation_id = s.id),
    (SELECT string_agg(concat(z.xmin), ',' ORDER BY z.id) FROM alert z
        WHERE z.kind = 'distress' AND z.about = 'conversation:' || s.id AND z.closed_at IS NULL),
    (SELECT string_agg(concat(r.xmin), ',' ORDER BY r.id) FROM recording r WHERE r.conversation_id = s.id)
)) AS version
FROM agent a
JOIN agent_presence p ON p.agent_id = a.id
LEFT JOIN LATERAL (
    SELECT b.conversation_id FROM presence_past b
    WHERE p.conversation_id IS NULL AND b.agent_id = a.id AND b.state = 'on_call' AND b.conversation_id IS NOT NULL
      AND b.ended_at > clock_timestamp() - make_interval(secs => $1)
      AND b.began_at > clock_timestamp() - interval '1 day'
    ORDER BY b.began_at DESC LIMIT 1
) b ON true
CROSS JOIN LATERAL (SELECT coalesce(p.conversation_id, b.conversation_id) AS id) s
LEFT JOIN conversation c ON c.id = s.id
LEFT JOIN donor_snapshot d ON d.conversation_id = s.id
LEFT JOIN LATERAL (
    SELECT xmin FROM live_command WHERE conversation_id = s.id ORDER BY asked_at DESC LIMIT 1
) l ON true
LEFT JOIN conversation_disposition v ON v.conversation_id = s.id AND v.agent_id = a.id
WHERE a.user_id IS NOT NULL AND a.enabled

-- name: desk
-- Her state and the call that is hers; when she has none, the last one that she has not told the end of.
SELECT a.id AS agent_id, a.name, a.telephone, p.state, p.reason, p.since, p.until, p.next_state, p.next_reason,
    p.queue, p.reach_kind, coalesce(p.reach_until > clock_timestamp(), false) AS is_reachable, p.conversation_id IS NOT NULL AS is_hers,
    s.id AS conversation_id, c.direction, c.caller, c.called, c.campaign, c.flow, c.started_at, c.answered_at, c.ended_at,
    c.attempt_id, coalesce(c.person_id, d.person_id) AS person_id, n.fund, n.campaign AS line_campaign,
    coalesce(p.queue, w.queue) AS call_queue, q.title AS queue_title,
    w.entered_at, w.connected_at, w.offered_at, w.queue AS waited_in, w.overflowed, w.tier, w.skills, w.returned,
    r.state AS recording, g.kind AS segment, g.detail AS segment_detail, g.started_at AS segment_since,
    coalesce(o.kind = 'consult' AND g.kind = 'hold', false) AS is_consulting
FROM agent a
JOIN agent_presence p ON p.agent_id = a.id
LEFT JOIN LATERAL (
    SELECT b.conversation_id FROM presence_past b
    WHERE p.conversation_id IS NULL AND b.agent_id = a.id AND b.state = 'on_call' AND b.conversation_id IS NOT NULL
      AND b.ended_at > clock_timestamp() - make_interval(secs => $2)
      AND b.began_at > clock_timestamp() - interval '1 day'
    ORDER BY b.began_at DESC LIMIT 1
) b ON true
CROSS JOIN LATERAL (SELECT coalesce(p.conversation_id, (
    SELECT b.conversation_id WHERE NOT EXISTS (
        SELECT FROM conversation_disposition v WHERE v.conversation_id = b.conversation_id AND v.agent_id = a.id
    )
)) AS id) s
LEFT JOIN conversation c ON c.id = s.id
LEFT JOIN donor_snapshot d ON d.conversation_id = s.id
LEFT JOIN telephone_line n ON n.number = c.called
LEFT JOIN LATERAL (
    SELECT * FROM waiting WHERE conversation_id = s.id ORDER BY agent_id IS DISTINCT FROM a.id, entered_at DESC LIMIT 1
) w ON true
LEFT JOIN queue q ON q.name = coalesce(p.queue, w.queue)
LEFT JOIN LATERAL (SELECT state FROM recording WHERE conversation_id = s.id ORDER BY started_at DESC LIMIT 1) r ON true
LEFT JOIN LATERAL (
    SELECT kind, detail, started_at FROM segment WHERE conversation_id = s.id ORDER BY ordinal DESC LIMIT 1
) g ON true
LEFT JOIN LATERAL (
    SELECT kind FROM live_command
    WHERE conversation_id = s.id AND kind IN ('consult', 'complete_transfer', 'cancel_consult', 'hold', 'retrieve')
      AND answered_at IS NOT NULL AND refused_code IS NULL
    ORDER BY asked_at DESC LIMIT 1
) o ON true
WHERE a.user_id = $1

-- name: past
-- What there was with this person, or with this number, the newest of each kind first; what is due comes too.
(SELECT 'call' AS kind, c.id, c.started_at AS at, c.direction AS what, coalesce(v.title, c.why, '') AS told,
    c.ended_by AS state, NULL::bigint AS amount_minor, NULL::text AS currency
 FROM conversation c
 LEFT JOIN LATERAL (
    SELECT title FROM conversation_disposition WHERE conversation_id = c.id ORDER BY at DESC LIMIT 1
 ) v ON true
 WHERE c.person_id = $1 AND c.id <> $3 ORDER BY c.started_at DESC LIMIT 5)
UNION ALL
(SELECT 'contact', id, coalesce(contacted_at, due_at), channel, coalesce(why, ''), state, NULL, NULL
 FROM attempt WHERE person_id = $1 ORDER BY coalesce(contacted_at, due_at) DESC LIMIT 5)
UNION ALL
(SELECT 'case', id, opened_at, reason, coalesce(disposition, held_why, ''), state, amount_minor, currency
 FROM recovery_case WHERE person_id = $1 ORDER BY closed_at IS NOT NULL, opened_at DESC LIMIT 5)
UNION ALL
(SELECT 'payment', id, updated_at, gateway, coalesce(reason, ''), transaction_status, amount_minor, currency
 FROM payment WHERE person_id = $1 ORDER BY updated_at DESC LIMIT 5)
UNION ALL
(SELECT 'callback', id, due_at, number, '', state, NULL, NULL
 FROM callback WHERE state = 'waiting' AND (person_id = $1 OR number = $2) ORDER BY due_at LIMIT 5)

-- name: targets
-- Where a call can go: queues, and agents who could be reached and are not on a call.
SELECT 'queue:' || name AS target, title AS name, 'queue' AS kind FROM queue
UNION ALL
(SELECT 'agent:' || a.id, a.name, 'agent' FROM agent a JOIN agent_presence p ON p.agent_id = a.id
 WHERE a.enabled AND a.id <> $1 AND p.state IN ('available', 'away') AND p.reach_until > clock_timestamp()
 ORDER BY a.name LIMIT 200)
ORDER BY kind DESC, name

-- name: callbacks_due
-- Those of the queues she serves cannot be told: a callback names none. So the next ones of all.
SELECT c.id, c.due_at, c.number, c.person_id, p.name AS person FROM callback c LEFT JOIN person p ON p.id = c.person_id
LEFT JOIN attempt a ON a.id = c.attempt_id AND a.person_id = c.person_id
WHERE c.state = 'waiting' AND a.state IS DISTINCT FROM 'delivered' AND c.due_at < clock_timestamp() + interval '1 day'
ORDER BY c.due_at LIMIT $1
