-- name: start
INSERT INTO conversation (id, node_id, direction, caller, called, campaign, flow, flow_version, attestation, started_at,
    attempt_id, person_id)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, (
    SELECT person_id FROM contact_point
    WHERE kind = 'phone' AND value = CASE $3 WHEN 'outbound' THEN $5 ELSE $4 END
)
ON CONFLICT (id) DO NOTHING

-- name: answered
UPDATE conversation SET answered_at = $2 WHERE id = $1 AND answered_at IS NULL

-- name: ended
UPDATE conversation SET ended_at = $2, ended_by = $3, why = $4 WHERE id = $1 AND ended_at IS NULL

-- name: end_parts
WITH segments AS (
    UPDATE segment SET ended_at = $2 WHERE conversation_id = $1 AND ended_at IS NULL
), steps AS (
    UPDATE flow_step SET left_at = $2 WHERE conversation_id = $1 AND left_at IS NULL
), secure AS (
    UPDATE secure_session SET ended_at = $2, result = 'system_problem' WHERE conversation_id = $1 AND ended_at IS NULL
)
UPDATE participant SET left_at = $2 WHERE conversation_id = $1 AND left_at IS NULL

-- name: join
INSERT INTO participant (conversation_id, id, purpose, address, joined_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (conversation_id, id) DO NOTHING

-- name: leave
UPDATE participant SET left_at = $3 WHERE conversation_id = $1 AND id = $2 AND left_at IS NULL

-- name: segment
WITH before AS (
    UPDATE segment SET ended_at = $5 WHERE conversation_id = $1 AND ordinal < $2 AND ended_at IS NULL
)
INSERT INTO segment (conversation_id, ordinal, kind, detail, started_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (conversation_id, ordinal) DO NOTHING

-- name: step_entered
INSERT INTO flow_step (conversation_id, ordinal, node, step, entered_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (conversation_id, ordinal) DO NOTHING

-- name: step_left
UPDATE flow_step SET exit = $3, left_at = $4 WHERE conversation_id = $1 AND ordinal = $2 AND left_at IS NULL

-- name: keys
UPDATE conversation SET keys = $2 WHERE id = $1

-- name: latest
-- Live calls first, then the newest.
SELECT c.id, c.direction, c.caller, c.called, c.campaign, c.flow, c.flow_version, c.started_at, c.answered_at, c.ended_at,
    c.ended_by, c.why, c.person_id, c.attestation, c.keys,
    s.kind AS segment, s.detail AS segment_detail, t.node AS step, r.duration_ms AS recorded_ms
FROM conversation c
LEFT JOIN LATERAL (
    SELECT kind, detail FROM segment WHERE conversation_id = c.id ORDER BY ordinal DESC LIMIT 1
) s ON true
LEFT JOIN LATERAL (
    SELECT node FROM flow_step WHERE conversation_id = c.id ORDER BY ordinal DESC LIMIT 1
) t ON true
LEFT JOIN LATERAL (
    SELECT duration_ms FROM recording WHERE conversation_id = c.id AND state = 'stored' LIMIT 1
) r ON true
ORDER BY (c.ended_at IS NULL) DESC, c.started_at DESC LIMIT $1

-- name: one
SELECT c.id, c.direction, c.caller, c.called, c.campaign, c.flow, c.flow_version, c.started_at, c.answered_at, c.ended_at,
    c.ended_by, c.why, c.person_id, c.attestation, c.keys,
    s.kind AS segment, s.detail AS segment_detail, NULL::text AS step, NULL::integer AS recorded_ms
FROM conversation c
LEFT JOIN LATERAL (
    SELECT kind, detail FROM segment WHERE conversation_id = c.id ORDER BY ordinal DESC LIMIT 1
) s ON true
WHERE c.id = $1

-- name: participants
SELECT id, purpose, address, joined_at, left_at FROM participant WHERE conversation_id = $1 ORDER BY joined_at, id

-- name: segments
SELECT ordinal, kind, detail, started_at, ended_at FROM segment WHERE conversation_id = $1 ORDER BY ordinal

-- name: steps
SELECT ordinal, node, step, entered_at, left_at, exit FROM flow_step WHERE conversation_id = $1 ORDER BY ordinal
