-- A callback as everybody sees it: one answer to whether it is overdue, for its page, the floor and the alert.
-- `late_at`: nobody has called an hour after it was due, or by the end of its window; a call of ours that is planned or
-- on its way puts it off. Who keeps a place in line (`keeps_place`) is called in her turn, which is never overdue.
SET LOCAL lock_timeout = '5s';

CREATE VIEW callback_seen AS
SELECT seen.*,
    CASE WHEN state <> 'waiting' THEN state
        WHEN attempt_state = 'delivered' THEN 'done'
        WHEN late_at <= now() AND NOT keeps_place THEN 'overdue'
        WHEN due_at <= now() THEN 'due'
        ELSE 'ahead' END AS looks
FROM (
    SELECT c.id, c.person_id, c.conversation_id, c.number, c.due_at, c.not_after, c.kind, c.campaign, c.zone, c.note,
        c.created_at, c.asked_by, c.closed_by, c.closed_at, c.state, a.state AS attempt_state,
        a.due_at AS attempt_due_at, coalesce(a.why, c.why) AS why,
        least(
            c.not_after,
            interval '1 hour' + greatest(
                c.due_at, CASE WHEN a.state IN ('planned', 'leased', 'in_doubt', 'accepted') THEN a.due_at END
            )
        ) AS late_at,
        EXISTS (SELECT FROM waiting w WHERE w.callback_id = c.id AND w.state <> 'left') AS keeps_place
    FROM callback c LEFT JOIN attempt a ON a.id = c.attempt_id AND a.person_id = c.person_id
) AS seen;
