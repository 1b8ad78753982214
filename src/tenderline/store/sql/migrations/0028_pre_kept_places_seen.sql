-- Who keeps a place in line is called in her turn only while some node can call: else her callback is like every other,
-- overdue an hour after she hung up, or four hours after it in any case. What is said of it is what is so now.
-- The words by which such a callback is known are those of store/callbacks.py (IN_TURN).
SET LOCAL lock_timeout = '5s';

CREATE OR REPLACE VIEW callback_seen AS
SELECT id, person_id, conversation_id, number, due_at, not_after, kind, campaign, zone, note, created_at, asked_by,
    closed_by, closed_at, state, attempt_state, attempt_due_at, why, late_at, keeps_place,
    CASE WHEN state <> 'waiting' THEN state
        WHEN attempt_state = 'delivered' THEN 'done'
        WHEN late_at <= now() AND NOT keeps_place THEN 'overdue'
        WHEN due_at <= now() THEN 'due'
        ELSE 'ahead' END AS looks
FROM (
    SELECT c.id, c.person_id, c.conversation_id, c.number, c.due_at, c.not_after, c.kind, c.campaign, c.zone, c.note,
        c.created_at, c.asked_by, c.closed_by, c.closed_at, c.state, a.state AS attempt_state,
        a.due_at AS attempt_due_at,
        coalesce(a.why, CASE
            WHEN c.why IS DISTINCT FROM 'she keeps a place in line: her turn is when an agent is free' THEN c.why
            WHEN w.is_in_turn THEN c.why
            WHEN w.id IS NOT NULL THEN 'she keeps a place in line, but nobody calls her from it: call by hand, '
                'or see whether the campaign of voice.callback_campaign can call'
            WHEN a.id IS NULL AND c.state = 'waiting' THEN 'her place in line is gone: call by hand' END) AS why,
        least(
            c.not_after,
            interval '1 hour' + greatest(
                c.due_at, CASE WHEN a.state IN ('planned', 'leased', 'in_doubt', 'accepted') THEN a.due_at END
            )
        ) AS late_at,
        coalesce(w.is_in_turn, false) AS keeps_place
    FROM callback c
    LEFT JOIN attempt a ON a.id = c.attempt_id AND a.person_id = c.person_id
    LEFT JOIN LATERAL (
        SELECT one.id, one.state <> 'waiting' OR one.kept_at > now() - interval '4 hours' AND EXISTS (
            SELECT FROM voice_node n WHERE n.state = 'up' AND n.calls_back AND n.lease_until > now()) AS is_in_turn
        FROM waiting one WHERE one.callback_id = c.id AND one.state <> 'left' LIMIT 1
    ) AS w ON true
) AS seen;
