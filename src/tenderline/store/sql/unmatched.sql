-- name: add
-- Found twice, it is one; what was settled with a note stays so.
INSERT INTO unmatched_money (
    id, kind, gateway, subject, transaction_id, payment_id, session_id, amount_minor, currency, expected_minor,
    expected_currency
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT DO NOTHING
RETURNING id

-- name: open
SELECT u.id, u.kind, u.gateway, u.subject, u.transaction_id, u.payment_id, u.session_id, u.amount_minor, u.currency,
    u.expected_minor, u.expected_currency, u.found_at, u.settled_at, u.settled_by, u.note,
    s.conversation_id, s.reference, p.name AS person_name
FROM unmatched_money u
LEFT JOIN capture_session s ON s.id = u.session_id
LEFT JOIN payment y ON y.id = u.payment_id
LEFT JOIN person p ON p.id = y.person_id
WHERE u.settled_at IS NULL ORDER BY u.found_at, u.id LIMIT $1

-- name: settled
SELECT u.id, u.kind, u.gateway, u.subject, u.transaction_id, u.payment_id, u.session_id, u.amount_minor, u.currency,
    u.expected_minor, u.expected_currency, u.found_at, u.settled_at, u.settled_by, u.note,
    s.conversation_id, s.reference, p.name AS person_name
FROM unmatched_money u
LEFT JOIN capture_session s ON s.id = u.session_id
LEFT JOIN payment y ON y.id = u.payment_id
LEFT JOIN person p ON p.id = y.person_id
WHERE u.settled_at IS NOT NULL ORDER BY u.settled_at DESC, u.id LIMIT $1

-- name: count
SELECT count(*) FROM unmatched_money WHERE settled_at IS NULL

-- name: settle
UPDATE unmatched_money SET settled_at = now(), settled_by = $2, note = $3
WHERE id = $1 AND settled_at IS NULL RETURNING kind, gateway, subject

-- name: exists
SELECT settled_at IS NOT NULL AS settled FROM unmatched_money WHERE id = $1

-- name: sources
-- What of ours a transaction belongs to, and what the other transactions of the same session brought.
SELECT s.id AS session_id, s.amount_minor, s.currency, c.state AS charge_state,
    EXISTS (
        SELECT FROM payment o
        WHERE o.gateway = s.gateway AND o.transaction_id <> $2 AND o.transaction_status = 'COMPLETED'
            AND o.transaction_id = ANY (ARRAY(
                SELECT h.transaction_id FROM charge h WHERE h.session_id = s.id UNION ALL SELECT s.link_transaction_id
            ))
    ) AS paid_before
FROM capture_session s
LEFT JOIN charge c ON c.gateway = $1 AND c.transaction_id = $2 AND c.session_id = s.id
WHERE s.id = (SELECT session_id FROM charge WHERE gateway = $1 AND transaction_id = $2)
    OR (s.gateway = $1 AND s.link_transaction_id = $2)
LIMIT 1

-- name: is_ours
-- Somebody here was asked for it.
SELECT EXISTS (SELECT FROM recovery_case WHERE payment_id = $1) OR EXISTS (
    SELECT FROM pay_page g JOIN recovery_case r ON r.id = g.case_id WHERE r.payment_id = $1
)

-- name: late_charges
-- Charges that may have taken money and of which nobody has told the end for so long.
SELECT f.id, f.state, f.gateway, f.transaction_id, f.session_id, f.amount_minor, f.currency, f.payment_id FROM (
    SELECT c.id, c.state, c.gateway, c.transaction_id, c.session_id, c.created_at, s.amount_minor, s.currency,
        y.id AS payment_id, y.transaction_status
    FROM charge c
    JOIN capture_session s ON s.id = c.session_id
    LEFT JOIN payment y ON y.gateway = c.gateway AND y.transaction_id = c.transaction_id
    WHERE c.state IN ('intended', 'unknown')
    UNION ALL
    SELECT c.id, c.state, c.gateway, c.transaction_id, c.session_id, c.created_at, s.amount_minor, s.currency,
        y.id AS payment_id, y.transaction_status
    FROM capture_session s
    JOIN charge c ON c.session_id = s.id AND c.state = 'taken'
    LEFT JOIN payment y ON y.gateway = c.gateway AND y.transaction_id = c.transaction_id
    WHERE s.state = 'charged'
) f
WHERE f.created_at < now() - make_interval(secs => $1) AND coalesce(f.transaction_status, 'PENDING') = 'PENDING'
    AND NOT EXISTS (
        SELECT FROM unmatched_money u
        WHERE u.kind = CASE f.state WHEN 'taken' THEN 'not_told' ELSE 'charge_unknown' END
            AND u.gateway = f.gateway AND u.subject = f.id::text
    )
ORDER BY f.created_at LIMIT $2

-- name: late_refunds
SELECT f.id, f.gateway, f.payment_id, f.amount_minor, f.currency, y.transaction_id
FROM refund f JOIN payment y ON y.id = f.payment_id
WHERE f.state IN ('intended', 'taken', 'unknown') AND f.created_at < now() - make_interval(secs => $1)
    AND NOT EXISTS (
        SELECT FROM unmatched_money u
        WHERE u.kind = 'refund_unknown' AND u.gateway = f.gateway AND u.subject = f.id::text
    )
ORDER BY f.created_at LIMIT $2

-- name: ended
-- What has found its end since: nobody has to look at it any more.
UPDATE unmatched_money u SET settled_at = now(), settled_by = 'system', note = 'the gateway has told how it ended'
WHERE u.settled_at IS NULL AND (
    (u.kind IN ('charge_unknown', 'not_told') AND EXISTS (
        SELECT FROM charge c LEFT JOIN payment y ON y.gateway = c.gateway AND y.transaction_id = c.transaction_id
        WHERE c.id = CASE WHEN u.kind IN ('charge_unknown', 'not_told') THEN u.subject::uuid END
            AND (c.state IN ('declined', 'refused') OR y.transaction_status IN ('COMPLETED', 'FAILED'))
    ))
    OR (u.kind = 'refund_unknown' AND EXISTS (
        SELECT FROM refund f WHERE f.id = CASE u.kind WHEN 'refund_unknown' THEN u.subject::uuid END
            AND f.state IN ('succeeded', 'refused', 'failed')
    ))
)
