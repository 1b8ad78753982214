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

-- name: of
-- One by its id, or those of a call. Whoever hung up may pay by a link instead, or a provider takes the payment: that is
-- PENDING while it may be paid so. A link works for a year at most, and is tried again after a card that was declined; a
-- provider whose transfer failed, or of whom nothing was heard for a day, was given up.
SELECT s.id, s.conversation_id, s.participant_id, s.source_participant_id, s.mode, s.flow, s.disconnect, s.user_data,
    s.asked_by, s.result, s.capture_session_id, s.last_four, s.progress, s.started_at, s.ended_at,
    CASE WHEN h.id IS NOT NULL OR c.link_transaction_id IS NOT NULL THEN c.reference END AS reference,
    CASE WHEN c.link_transaction_id IS NULL OR y.transaction_status = 'COMPLETED' THEN y.transaction_status
        WHEN s.started_at < now() - interval '366 days' THEN 'FAILED'
        WHEN y.status IN ('action_required', 'processing', 'failed') THEN 'PENDING'
        WHEN y.status = 'created' AND c.state = 'open' THEN 'PENDING'
        ELSE 'FAILED' END AS transaction_status,
    c.link_transaction_id IS NOT NULL AS is_elsewhere
FROM secure_session s
LEFT JOIN capture_session c ON c.id = s.capture_session_id
LEFT JOIN charge h ON h.session_id = c.id AND h.state IN ('intended', 'taken', 'unknown')
LEFT JOIN payment y ON y.gateway = c.gateway AND y.transaction_id = coalesce(c.link_transaction_id, h.transaction_id)
WHERE s.id = $1 OR s.conversation_id = $2
ORDER BY s.started_at DESC LIMIT 50
