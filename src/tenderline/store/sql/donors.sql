-- name: own
-- What we know ourselves of whoever has a number: her own payments, of which a refunded or disputed one is no gift, and of
-- a part that went back only the rest. The day is that of the gateway's news, in the organisation's zone; of two on one
-- day the larger is the last.
WITH given AS MATERIALIZED (
    SELECT y.currency, y.amount_minor - r.minor AS amount_minor, (t.at AT TIME ZONE $2)::date AS given_on,
        t.at > now() - interval '12 months' AS is_recent
    FROM contact_point q
    JOIN payment y ON y.person_id = q.person_id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount_minor), 0)::bigint AS minor FROM refund WHERE payment_id = y.id AND state = 'succeeded'
    ) r
    CROSS JOIN LATERAL (
        SELECT coalesce(to_timestamp(nullif((y.observed->>'succeeded_at_unix_s')::bigint, 0)), y.updated_at) AS at
    ) t
    WHERE q.kind = 'phone' AND q.value = $1 AND y.transaction_status = 'COMPLETED' AND y.status = 'succeeded'
        AND y.amount_minor > r.minor
)
SELECT p.id, p.name, p.locale, e.value AS email, c.amount_minor, c.currency, g.gifts, g.gifts_last_year, g.currency AS given_currency,
    g.total_minor, g.largest_minor, l.given_on AS last_on, l.amount_minor AS last_minor
FROM contact_point q
JOIN person p ON p.id = q.person_id
LEFT JOIN LATERAL (
    SELECT value FROM contact_point WHERE person_id = p.id AND kind = 'email' AND state = 'usable' ORDER BY id LIMIT 1
) e ON true
LEFT JOIN LATERAL (
    SELECT amount_minor, currency FROM recovery_case
    WHERE person_id = p.id AND state IN ('open', 'held') ORDER BY opened_at DESC LIMIT 1
) c ON true
LEFT JOIN LATERAL (
    SELECT amount_minor, currency, given_on FROM given ORDER BY given_on DESC, amount_minor DESC LIMIT 1
) l ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS gifts, count(*) FILTER (WHERE is_recent) AS gifts_last_year,
        currency, sum(amount_minor)::bigint AS total_minor, max(amount_minor) AS largest_minor
    FROM given WHERE currency = l.currency GROUP BY currency
) g ON true
WHERE q.kind = 'phone' AND q.value = $1

-- name: look_up_by
SELECT look_up_by FROM telephone_line WHERE number = $1

-- name: begin
INSERT INTO donor_snapshot (conversation_id, caller, crm, state, asked_at) VALUES ($1, $2, $3, 'asking', $4)
ON CONFLICT (conversation_id) DO NOTHING

-- name: tell
INSERT INTO donor_snapshot (conversation_id, caller, person_id, crm, state, reason, detail, is_late, took_ms, donor,
    segment, segment_version, segment_why, answered_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $11, $12, $13, now())
ON CONFLICT (conversation_id) DO UPDATE SET person_id = $3, crm = $4, state = $5, reason = $6, detail = $7,
    is_late = donor_snapshot.is_late OR $8, took_ms = $9, donor = $10::jsonb, segment = $11, segment_version = $12,
    segment_why = $13, answered_at = now()

-- name: get
SELECT conversation_id, caller, person_id, crm, state, reason, detail, is_late, took_ms, donor::text AS donor, segment,
    segment_version, segment_why, asked_at, answered_at
FROM donor_snapshot WHERE conversation_id = $1

-- name: health
SELECT count(*) AS asked, count(*) FILTER (WHERE is_late) AS late,
    count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'skipped') AS skipped,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY took_ms) AS p95_ms,
    (array_agg(detail ORDER BY asked_at DESC) FILTER (WHERE reason IS NOT NULL))[1] AS last_failure,
    max(asked_at) FILTER (WHERE reason IS NOT NULL) AS last_failure_at
FROM donor_snapshot WHERE asked_at > now() - make_interval(secs => $1) AND crm IS NOT NULL

-- name: reasons
SELECT reason, count(*) AS times FROM donor_snapshot
WHERE asked_at > now() - make_interval(secs => $1) AND reason IS NOT NULL GROUP BY reason ORDER BY times DESC, reason

-- name: forget
DELETE FROM donor_snapshot WHERE conversation_id IN (
    SELECT conversation_id FROM donor_snapshot WHERE asked_at < now() - make_interval(days => $1) LIMIT $2
)

-- name: newest_rules
SELECT version, content, digest, created_at, created_by FROM segment_rules ORDER BY version DESC LIMIT 1

-- name: versions
SELECT version, content, digest, created_at, created_by FROM segment_rules ORDER BY version DESC LIMIT $1

-- name: lock_rules
SELECT pg_advisory_xact_lock(hashtextextended('segment_rules', 0))

-- name: add_rules
INSERT INTO segment_rules (version, content, digest, created_by)
SELECT coalesce(max(version), 0) + 1, $1, $2, $3 FROM segment_rules
RETURNING version
