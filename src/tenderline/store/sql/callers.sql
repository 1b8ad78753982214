-- name: known
-- What a flow may know about whoever calls: whether the number is somebody's, and what is open there.
SELECT p.id, p.name, p.locale, c.id AS case_id, c.amount_minor, c.currency
FROM contact_point q
JOIN person p ON p.id = q.person_id
LEFT JOIN LATERAL (
    SELECT id, amount_minor, currency FROM recovery_case
    WHERE person_id = p.id AND state IN ('open', 'held') ORDER BY opened_at DESC LIMIT 1
) c ON true
WHERE q.kind = 'phone' AND q.value = $1
