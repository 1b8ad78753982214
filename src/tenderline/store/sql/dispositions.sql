-- name: all
SELECT code, title, key, next_action, after_days, local_time, asked_for, queues, flows, enabled, updated_at, updated_by
FROM disposition ORDER BY key NULLS LAST, code

-- name: fitting
SELECT code, title, key, next_action, after_days, local_time, asked_for, queues, flows, enabled, updated_at, updated_by
FROM disposition
WHERE enabled AND (queues = '{}' OR $1 = ANY(queues)) AND (flows = '{}' OR $2 = ANY(flows))
ORDER BY key NULLS LAST, code

-- name: put
INSERT INTO disposition (code, title, key, next_action, after_days, local_time, asked_for, queues, flows, enabled, updated_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text[], $9::text[], $10, $11)
ON CONFLICT (code) DO UPDATE SET title = $2, key = $3, next_action = $4, after_days = $5, local_time = $6,
    asked_for = $7, queues = $8::text[], flows = $9::text[], enabled = $10, updated_by = $11, updated_at = now()

-- name: chosen
-- Locked: two choices at once come one after the other.
SELECT code, title, chosen_by, at, note, next_action, due_at, next_words, done::text AS done FROM conversation_disposition
WHERE conversation_id = $1 AND agent_id = $2 FOR UPDATE

-- name: seen
SELECT code, title, chosen_by, at, note, next_action, due_at, next_words, done::text AS done FROM conversation_disposition
WHERE conversation_id = $1 AND agent_id = $2

-- name: choose
INSERT INTO conversation_disposition (conversation_id, agent_id, code, title, chosen_by, note, next_action, due_at,
    next_words, done)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb)
ON CONFLICT (conversation_id, agent_id) DO UPDATE SET code = $3, title = $4, chosen_by = $5, note = $6, next_action = $7,
    due_at = $8, next_words = $9, done = $10::jsonb, at = clock_timestamp()

-- name: lock_agent
-- Whether this call is hers, or was until a moment ago; her row is locked, so that her state stays while she chooses.
SELECT p.state, p.conversation_id = $2 AS is_hers, EXISTS (
    SELECT FROM presence_past b
    WHERE b.agent_id = $1 AND b.conversation_id = $2 AND b.state = 'on_call'
      AND b.ended_at > clock_timestamp() - make_interval(secs => $3)
) AS was_hers
FROM agent_presence p WHERE p.agent_id = $1 FOR UPDATE OF p

-- name: case_of
-- The case that a call is about: that of the contact it was made for, else the person's only one that is open.
SELECT c.id, c.person_id FROM recovery_case c
WHERE c.id = (SELECT case_id FROM attempt WHERE id = $1)
   OR ($1::uuid IS NULL AND c.person_id = $2 AND c.state IN ('open', 'held') AND 1 = (
        SELECT count(*) FROM recovery_case o WHERE o.person_id = $2 AND o.state IN ('open', 'held')))
LIMIT 1

-- name: mark_case
UPDATE recovery_case SET disposition = $3 WHERE person_id = $1 AND id = $2

-- name: usable_again
UPDATE contact_point SET state = 'usable', state_why = NULL
WHERE person_id = $1 AND id = $2 AND state = 'unusable' AND state_why = $3
