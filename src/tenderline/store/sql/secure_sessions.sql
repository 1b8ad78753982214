-- name: open
INSERT INTO secure_session (id, conversation_id, participant_id, source_participant_id, mode, flow, disconnect,
    user_data, asked_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT DO NOTHING
RETURNING id

-- name: progress
UPDATE secure_session SET progress = $2 WHERE id = $1 AND ended_at IS NULL

-- name: end
UPDATE secure_session SET ended_at = $2, result = $3, capture_session_id = coalesce($4, capture_session_id), last_four = $5
WHERE id = $1 AND ended_at IS NULL

-- name: pays
-- From before the first try on: whatever becomes of the process that charges, the money is known by the session.
UPDATE secure_session SET capture_session_id = $2 WHERE conversation_id = $1 AND ended_at IS NULL

-- name: one
SELECT s.id, s.conversation_id, s.participant_id, s.source_participant_id, s.mode, s.flow, s.disconnect, s.user_data,
    s.asked_by, s.result, s.capture_session_id, s.last_four, s.progress, s.started_at, s.ended_at,
    CASE WHEN h.id IS NOT NULL THEN c.reference END AS reference, y.transaction_status
FROM secure_session s
LEFT JOIN capture_session c ON c.id = s.capture_session_id
LEFT JOIN charge h ON h.session_id = c.id AND h.state IN ('intended', 'taken', 'unknown')
LEFT JOIN payment y ON y.gateway = h.gateway AND y.transaction_id = h.transaction_id
WHERE s.id = $1

-- name: of_conversation
SELECT s.id, s.conversation_id, s.participant_id, s.source_participant_id, s.mode, s.flow, s.disconnect, s.user_data,
    s.asked_by, s.result, s.capture_session_id, s.last_four, s.progress, s.started_at, s.ended_at,
    CASE WHEN h.id IS NOT NULL THEN c.reference END AS reference, y.transaction_status
FROM secure_session s
LEFT JOIN capture_session c ON c.id = s.capture_session_id
LEFT JOIN charge h ON h.session_id = c.id AND h.state IN ('intended', 'taken', 'unknown')
LEFT JOIN payment y ON y.gateway = h.gateway AND y.transaction_id = h.transaction_id
WHERE s.conversation_id = $1 ORDER BY s.started_at DESC LIMIT 50
