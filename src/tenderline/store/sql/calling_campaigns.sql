-- name: all
SELECT name, flow, machine_flow, queue, caller_id, purpose, language, currency, fund, ring_s, enabled, updated_at,
    updated_by
FROM calling_campaign ORDER BY name

-- name: one
SELECT name, flow, machine_flow, queue, caller_id, purpose, language, currency, fund, ring_s, enabled, updated_at,
    updated_by
FROM calling_campaign WHERE name = $1

-- name: put
INSERT INTO calling_campaign (
    name, flow, machine_flow, queue, caller_id, purpose, language, currency, fund, ring_s, enabled, updated_by
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (name) DO UPDATE SET
    flow = $2, machine_flow = $3, queue = $4, caller_id = $5, purpose = $6, language = $7, currency = $8, fund = $9,
    ring_s = $10, enabled = $11, updated_by = $12, updated_at = now()

-- name: calls_ahead
-- By attempt_due_call, the next one first.
SELECT a.id, a.person_id, p.value AS number, a.template AS campaign, a.state, a.due_at, a.why, a.tries
FROM attempt a
JOIN contact_point p ON p.person_id = a.person_id AND p.id = a.contact_point_id
WHERE a.channel IN ('voice_live', 'voice_artificial') AND a.state = 'planned'
ORDER BY a.due_at LIMIT $1
