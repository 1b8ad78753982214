-- name: open
INSERT INTO capture_session (
    id, person_id, conversation_id, mode, gateway, amount_minor, currency, campaign, fund, reference, contact_point_id
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT DO NOTHING
RETURNING id

-- name: get
SELECT id, person_id, conversation_id, mode, gateway, amount_minor, currency, campaign, fund, reference, state, why,
    declines, contact_point_id, link_transaction_id, started_at, updated_at
FROM capture_session WHERE id = $1

-- name: lock
SELECT id, person_id, conversation_id, mode, gateway, amount_minor, currency, campaign, fund, reference, state, why,
    declines, contact_point_id, link_transaction_id, started_at, updated_at
FROM capture_session WHERE id = $1 FOR UPDATE

-- name: of_transaction
SELECT s.id, s.person_id, s.conversation_id, s.mode, s.gateway, s.amount_minor, s.currency, s.campaign, s.fund,
    s.reference, s.state, s.why, s.declines, s.contact_point_id, s.link_transaction_id,
    s.started_at, s.updated_at
FROM capture_session s
WHERE s.id = (SELECT session_id FROM charge WHERE gateway = $1 AND transaction_id = $2)
   OR (s.gateway = $1 AND s.link_transaction_id = $2)

-- name: set_state
-- What is completed stays so.
UPDATE capture_session SET state = $2, why = $3, updated_at = now()
WHERE id = $1 AND state <> 'completed' AND state IS DISTINCT FROM $2
RETURNING id

-- name: link
UPDATE capture_session SET link_transaction_id = $2, updated_at = now() WHERE id = $1 AND link_transaction_id IS NULL
RETURNING id

-- name: count_decline
UPDATE capture_session SET declines = declines + 1, updated_at = now() WHERE id = $1

-- name: intend
-- Nothing comes back while another try of the session may have taken money.
INSERT INTO charge (id, session_id, gateway, token, brand, last_four) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
RETURNING id

-- name: may_have_paid
SELECT EXISTS (SELECT FROM charge WHERE session_id = $1 AND state IN ('intended', 'taken', 'unknown'))

-- name: prepared
-- Nothing comes back for a try that was written off: whoever makes it stood still, and must not go on.
UPDATE charge SET transaction_id = $2 WHERE id = $1 AND transaction_id IS NULL AND state = 'intended'
RETURNING id

-- name: write_off
UPDATE charge SET state = 'refused', reason = $2, answered_at = now()
WHERE id = $1 AND transaction_id IS NULL AND state = 'intended'
RETURNING id

-- name: was_repeated
-- Open is also one whose try is under way: it ends paid, or gets the link itself.
SELECT EXISTS (
    SELECT FROM capture_session
    WHERE conversation_id = $1 AND id <> $2 AND started_at >= $3
        AND (state IN ('open', 'charged', 'completed') OR link_transaction_id IS NOT NULL)
)

-- name: answer
-- What was taken may fall through; what took nothing stays so.
UPDATE charge SET state = $2, reason = $3, answered_at = now()
WHERE id = $1 AND state IS DISTINCT FROM $2
    AND (state IN ('intended', 'unknown') OR (state = 'taken' AND $2 IN ('declined', 'refused')))
RETURNING session_id

-- name: charges_of
SELECT id, session_id, gateway, transaction_id, brand, last_four, state, reason, created_at, answered_at
FROM charge WHERE session_id = $1 ORDER BY created_at LIMIT 50

-- name: in_doubt
-- Tries whose end nobody wrote down, once their maker must have given up.
SELECT c.id, c.session_id, c.gateway, c.transaction_id, c.brand, c.last_four, c.state, c.reason, c.created_at,
    c.answered_at
FROM charge c JOIN capture_session s ON s.id = c.session_id
WHERE c.state IN ('intended', 'unknown') AND c.created_at < now() - make_interval(secs => $1)
ORDER BY s.updated_at LIMIT $2

-- name: unsettled
-- Taken, and no webhook has told of the money for so long.
SELECT c.id, c.session_id, c.gateway, c.transaction_id, c.brand, c.last_four, c.state, c.reason, c.created_at,
    c.answered_at
FROM capture_session s JOIN charge c ON c.session_id = s.id AND c.state = 'taken'
WHERE s.state = 'charged' AND s.updated_at < now() - make_interval(secs => $1)
ORDER BY s.updated_at LIMIT $2

-- name: touch
UPDATE capture_session SET updated_at = now() WHERE id = $1

-- name: settlement
SELECT y.transaction_status FROM charge c
JOIN payment y ON y.gateway = c.gateway AND y.transaction_id = c.transaction_id
WHERE c.session_id = $1 AND c.state IN ('taken', 'unknown')

-- name: list
-- Those first of which a try may have taken money and no webhook has told so; there are few of them, whatever is stored.
WITH charged AS (
    SELECT s.id, s.started_at, s.gateway, coalesce(s.link_transaction_id, (
        SELECT transaction_id FROM charge WHERE session_id = s.id ORDER BY created_at DESC LIMIT 1
    )) AS transaction_id
    FROM capture_session s WHERE s.state = 'charged'
), doubtful AS (
    SELECT h.id, h.started_at FROM charged h
    LEFT JOIN payment y ON y.gateway = h.gateway AND y.transaction_id = h.transaction_id
    WHERE y.transaction_status IS DISTINCT FROM 'COMPLETED'
    UNION ALL
    SELECT s.id, s.started_at FROM charge c JOIN capture_session s ON s.id = c.session_id
    WHERE c.state IN ('intended', 'unknown') AND s.state = 'open'
    ORDER BY started_at DESC LIMIT $1
), newest AS (
    SELECT id FROM capture_session ORDER BY started_at DESC LIMIT $1
), chosen AS (
    SELECT id, bool_or(is_doubtful) AS is_doubtful FROM (
        SELECT id, true AS is_doubtful FROM doubtful UNION ALL SELECT id, false FROM newest
    ) either GROUP BY id
)
SELECT s.id, s.person_id, s.conversation_id, s.mode, s.gateway, s.amount_minor, s.currency, s.campaign, s.fund,
    s.reference, s.state, s.why, s.declines, s.contact_point_id, s.link_transaction_id,
    s.started_at, s.updated_at,
    c.brand, c.last_four, c.state AS charge_state, c.transaction_id, y.transaction_status, y.id AS payment_id,
    (
        SELECT coalesce(sum(f.amount_minor), 0)::bigint FROM refund f WHERE f.payment_id = y.id AND f.state = 'succeeded'
    ) AS refunded_minor
FROM chosen n JOIN capture_session s ON s.id = n.id
LEFT JOIN LATERAL (
    SELECT brand, last_four, state, transaction_id, gateway FROM charge
    WHERE session_id = s.id ORDER BY created_at DESC LIMIT 1
) c ON true
LEFT JOIN payment y ON y.gateway = s.gateway AND y.transaction_id = coalesce(s.link_transaction_id, c.transaction_id)
ORDER BY n.is_doubtful DESC, s.started_at DESC LIMIT $1

-- name: of_call
SELECT s.id, s.person_id, s.conversation_id, s.mode, s.gateway, s.amount_minor, s.currency, s.campaign, s.fund,
    s.reference, s.state, s.why, s.declines, s.contact_point_id, s.link_transaction_id,
    s.started_at, s.updated_at,
    c.brand, c.last_four, c.state AS charge_state, c.transaction_id, y.transaction_status, y.id AS payment_id,
    (
        SELECT coalesce(sum(f.amount_minor), 0)::bigint FROM refund f WHERE f.payment_id = y.id AND f.state = 'succeeded'
    ) AS refunded_minor
FROM capture_session s
LEFT JOIN LATERAL (
    SELECT brand, last_four, state, transaction_id, gateway FROM charge
    WHERE session_id = s.id ORDER BY created_at DESC LIMIT 1
) c ON true
LEFT JOIN payment y ON y.gateway = s.gateway AND y.transaction_id = coalesce(s.link_transaction_id, c.transaction_id)
WHERE s.conversation_id = $1 ORDER BY s.started_at DESC LIMIT $2

-- name: forsaken
-- The call is over for so long, and nobody said how the payment ended: its process was killed, or its try took nothing
-- after all and the caller did not hear so. A link that was sent is no reason to wait: its payment has a life of its own.
SELECT s.id FROM capture_session s JOIN conversation c ON c.id = s.conversation_id
WHERE s.state = 'open'
  AND c.ended_at < now() - make_interval(secs => CASE s.mode WHEN 'provider' THEN $2::float8 ELSE $1::float8 END)
  AND NOT EXISTS (SELECT FROM charge h WHERE h.session_id = s.id AND h.state IN ('intended', 'taken', 'unknown'))
ORDER BY s.updated_at LIMIT $3
