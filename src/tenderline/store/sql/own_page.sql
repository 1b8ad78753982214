-- name: contacts
-- What left, what was held back and what is planned, the newest first. A contact that surely did not leave is none.
SELECT a.id, a.case_id, a.channel, a.purpose, a.subject, a.own_act_at, a.state, a.due_at, a.why, a.decision,
    a.contact_point_id, q.kind AS address_kind, q.value AS address, t.has_left,
    CASE WHEN t.has_left THEN a.contacted_at ELSE a.updated_at END AS at
FROM attempt a
CROSS JOIN LATERAL (
    SELECT a.contacted_at IS NOT NULL AND (
        a.state IN ('leased', 'accepted', 'delivered', 'in_doubt') OR (a.state = 'failed' AND a.provider_ref IS NOT NULL)
    ) AS has_left
) t
LEFT JOIN contact_point q ON q.person_id = a.person_id AND q.id = a.contact_point_id
WHERE a.person_id = $1
  AND (a.state = 'planned' OR CASE WHEN t.has_left THEN a.contacted_at ELSE a.updated_at END > $2)
ORDER BY at DESC, a.id DESC LIMIT $3

-- name: lock_planned
-- Attempts before their person, as the gate does: what it holds right now is waited for, and found leased.
SELECT id FROM attempt
WHERE person_id = $1 AND state = 'planned' AND purpose NOT IN ('servicing', 'opt_out_confirmation')
  AND channel <> 'voice_live'
ORDER BY due_at, id FOR UPDATE

-- name: shift_planned
UPDATE attempt SET due_at = due_at + $3::interval, not_after = not_after + $3::interval, updated_at = now()
WHERE person_id = $1 AND id = ANY($2::uuid[]) AND state = 'planned'

-- name: leave_out
UPDATE attempt SET state = 'suppressed', why = $3, updated_at = now()
WHERE person_id = $1 AND id = $2 AND state = 'planned'
RETURNING case_id, channel

-- name: set_pause
UPDATE person SET paused_until = $2 WHERE id = $1

-- name: set_declined
UPDATE person SET declined_channels = $2 WHERE id = $1

-- name: address
SELECT address::text FROM person WHERE id = $1

-- name: last_word
-- What the address said last about contact, as `derive_opt_out` reads it: a refusal before an agreement of the same
-- instant.
SELECT granted FROM consent
WHERE person_id = $1 AND channel = $2 AND address = $3 AND class IS NULL
ORDER BY at DESC, granted LIMIT 1
