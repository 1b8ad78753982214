-- name: person
-- Unlocked: an explanation holds nobody up.
SELECT id, name, place_zones, place_regions, place_evidence, place_version, opted_out_at, opted_out_channels,
    distress_until, review_at, paused_until, declined_channels
FROM person WHERE id = $1

-- name: now
SELECT statement_timestamp()

-- name: refusals
-- The refusals that stood at an instant, the oldest first: `derive_opt_out` over what had been said by then.
SELECT c.channel, c.address, c.how, c.evidence, c.at FROM consent c
WHERE c.person_id = $1 AND NOT c.granted AND c.at <= $2 AND NOT EXISTS (
    SELECT FROM consent g
    WHERE g.person_id = $1 AND g.channel = c.channel AND g.address = c.address AND g.granted AND g.class IS NULL
      AND g.at > c.at AND g.at <= $2
)
ORDER BY c.at, c.id LIMIT $3

-- name: agreements
-- The agreements that stood beside an address at an instant: `derive_standing` over what had been said by then.
SELECT c.class AS consent_class, c.channel, c.purposes, c.how, c.evidence, c.at, c.expires_at FROM consent c
WHERE c.person_id = $1 AND c.address = $2 AND c.granted AND c.class IS NOT NULL AND c.at <= $3
  AND (c.expires_at IS NULL OR $3 < c.expires_at)
  AND NOT EXISTS (
      SELECT FROM consent r
      WHERE r.person_id = $1 AND r.channel = c.channel AND r.address = c.address AND NOT r.granted AND r.at >= c.at
        AND r.at <= $3
  )
ORDER BY c.at DESC, c.id LIMIT $4

-- name: lists
-- The do-not-contact lists on which an address stands for a channel; of those taken off since nothing is kept.
SELECT list, source, added_at, expires_at FROM dnc_entry
WHERE value = $1 AND (channels = '{}' OR $2 = ANY(channels)) AND added_at <= $3
  AND (expires_at IS NULL OR $3 < expires_at)
ORDER BY list LIMIT $4

-- name: matter
-- Since when a debt is paid or over, as far as events say; NULL for what has not happened.
SELECT c.closed_at,
    (SELECT min(e.at) FROM event e WHERE e.payment_id = c.payment_id AND e.kind = 'PaymentSucceeded') AS settled_at,
    (SELECT min(e.at) FROM event e WHERE e.payment_id = c.payment_id AND e.kind = 'PaymentStopped') AS stopped_at
FROM recovery_case c WHERE c.person_id = $1 AND c.id = $2

-- name: unread_about
SELECT EXISTS (SELECT FROM inbox WHERE state IN ('unread', 'waiting', 'dead') AND subject = $1)

-- name: attempt
SELECT a.id, a.person_id, a.case_id, a.channel, a.purpose, a.contact_point_id, a.state, a.due_at, a.created_at,
    a.contacted_at, a.handed_over_at, a.provider, a.why, a.decision, a.subject, a.own_act_at, a.tries,
    q.kind AS address_kind, q.value AS address
FROM attempt a
LEFT JOIN contact_point q ON q.person_id = a.person_id AND q.id = a.contact_point_id
WHERE a.id = $1
