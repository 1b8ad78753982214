-- name: add
INSERT INTO attempt (
    person_id, id, case_id, channel, purpose, contact_point_id, template, due_at, not_after, subject, own_act_at,
    decision, why, said, state
)
SELECT *, CASE WHEN why IS NULL THEN 'planned' ELSE 'suppressed' END FROM unnest(
    $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::text[], $8::timestamptz[],
    $9::timestamptz[], $10::text[], $11::timestamptz[], $12::jsonb[], $13::text[], $14::jsonb[]
) AS p (
    person_id, id, case_id, channel, purpose, contact_point_id, template, due_at, not_after, subject, own_act_at,
    decision, why, said
)

-- name: due
-- Locked for this transaction, skipping what another worker holds. attempt_due_message gives them without a sort.
SELECT id, person_id, case_id, channel, purpose, contact_point_id, template, not_after, tries, why, created_at,
    subject, own_act_at, said
FROM attempt
WHERE state = 'planned' AND channel NOT IN ('voice_live', 'voice_artificial') AND due_at <= now()
ORDER BY due_at LIMIT $1
FOR UPDATE SKIP LOCKED

-- name: due_calls
-- Of the calling campaigns ($2) that the asking voice node can carry now.
SELECT id, person_id, case_id, channel, purpose, contact_point_id, template, not_after, tries, why, created_at,
    subject, own_act_at, said
FROM attempt
WHERE state = 'planned' AND channel IN ('voice_live', 'voice_artificial') AND due_at <= now()
  AND template = ANY($2::text[])
ORDER BY due_at LIMIT $1
FOR UPDATE SKIP LOCKED

-- name: due_this_call
SELECT id, person_id, case_id, channel, purpose, contact_point_id, template, not_after, tries, why, created_at,
    subject, own_act_at, said
FROM attempt
WHERE state = 'planned' AND due_at <= now() AND person_id = $2 AND id = $3
LIMIT $1
FOR UPDATE SKIP LOCKED

-- name: due_late_calls
-- Calls that no voice node took in their time: the gate refuses them, and says so.
SELECT id, person_id, case_id, channel, purpose, contact_point_id, template, not_after, tries, why, created_at,
    subject, own_act_at, said
FROM attempt
WHERE state = 'planned' AND channel IN ('voice_live', 'voice_artificial') AND due_at <= now() AND not_after <= now()
ORDER BY due_at LIMIT $1
FOR UPDATE SKIP LOCKED

-- name: lock_people
-- In id order, so that two workers cannot wait for each other. Everybody who changes what the gate reads locks here.
SELECT id, name, locale, place_zones, place_regions, place_evidence, place_version, opted_out_at,
    opted_out_channels, distress_until, review_at, paused_until, declined_channels
FROM person WHERE id = ANY($1::uuid[])
ORDER BY id FOR UPDATE

-- name: facts
-- Read after the people are locked, in a statement of its own: it sees all that was committed before the locks.
-- LIMIT 1 keeps each look-up a walk down an index: without it the planner may read whole tables for a batch.
SELECT
    a.n, statement_timestamp() AS now,  -- of this statement: after the locks, and one instant for the whole batch
    p.value AS address, p.state = 'usable' AS usable, p.state_why, p.consents,
    ARRAY(
        SELECT d.list FROM dnc_entry d
        WHERE d.value = p.value AND (d.channels = '{}' OR a.channel = ANY(d.channels))
          AND (d.expires_at IS NULL OR d.expires_at > statement_timestamp())
    ) AS lists,
    c.state AS case_state, y.status AS payment_status, y.transaction_status,
    c.amount_minor, c.currency,
    EXISTS (
        SELECT FROM (
            SELECT q.value FROM contact_point q WHERE q.person_id = a.person_id
            UNION ALL SELECT r.source || ':' || r.value FROM person_reference r WHERE r.person_id = a.person_id
            UNION ALL SELECT c.gateway || ':' || c.transaction_id
            UNION ALL SELECT c.gateway || ':' || y.invoice_reference
            UNION ALL SELECT c.gateway || ':' || y.subscription_reference
        ) AS name (subject)
        -- LIMIT keeps it one look into a small index for each name under which news may come.
        CROSS JOIN LATERAL (
            SELECT FROM inbox i
            WHERE i.state IN ('unread', 'waiting', 'dead') AND i.subject = name.subject LIMIT 1
        ) AS news
    ) AS unread_news
FROM unnest($1::int[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[])
    AS a (n, person_id, contact_point_id, case_id, channel)
LEFT JOIN LATERAL (
    SELECT * FROM contact_point WHERE person_id = a.person_id AND id = a.contact_point_id LIMIT 1
) p ON true
LEFT JOIN LATERAL (SELECT * FROM recovery_case WHERE person_id = a.person_id AND id = a.case_id LIMIT 1) c ON true
LEFT JOIN LATERAL (SELECT * FROM payment WHERE person_id = c.person_id AND id = c.payment_id LIMIT 1) y ON true

-- name: record_allowed
-- Most decisions of a batch are alike: each distinct one is sent once ($4), and rows name theirs by its place ($3).
WITH j AS MATERIALIZED (SELECT decision, n FROM unnest($4::jsonb[]) WITH ORDINALITY AS x (decision, n))
UPDATE attempt t SET
    state = 'leased', lease_until = clock_timestamp() + make_interval(secs => $5), fence = t.fence + 1,
    handed_over_at = NULL, contacted_at = $6, decision = j.decision, why = NULL,
    updated_at = now()
FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS d (person_id, id, n)
JOIN j ON j.n = d.n
WHERE t.person_id = d.person_id AND t.id = d.id
RETURNING t.id, t.fence

-- name: record_refused_or_deferred
UPDATE attempt t SET
    state = d.state, due_at = coalesce(d.due_at, t.due_at), decision = d.decision, why = d.why, updated_at = now()
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::jsonb[], $6::text[])
    AS d (person_id, id, state, due_at, decision, why)
WHERE t.person_id = d.person_id AND t.id = d.id

-- name: hand_over
-- The last word before sending: whoever lost the lease gets nothing back, and sends nothing. News that was committed
-- since the lease counts too: the lease runs out, the contact is planned again, and the gate refuses it with its rule.
UPDATE attempt t SET handed_over_at = clock_timestamp(), provider = d.provider, message = d.message, updated_at = now()
FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::jsonb[]) AS d (person_id, id, fence, provider, message)
WHERE t.person_id = d.person_id AND t.id = d.id AND t.fence = d.fence
  AND t.state = 'leased' AND t.lease_until > clock_timestamp()
  AND NOT EXISTS (
      SELECT FROM person p
      WHERE p.id = t.person_id
        AND (
            split_part(t.channel, '_', 1) = ANY(p.declined_channels)
            OR (p.distress_until > clock_timestamp() AND t.channel <> 'voice_live')
            OR (p.paused_until > clock_timestamp()
                AND t.purpose <> 'opt_out_confirmation' AND t.channel <> 'voice_live')
            OR CASE t.purpose
                WHEN 'opt_out_confirmation' THEN p.opted_out_at IS NULL
                WHEN 'servicing' THEN split_part(t.channel, '_', 1) = ANY(p.opted_out_channels)
                ELSE p.opted_out_at IS NOT NULL OR p.review_at IS NOT NULL OR p.distress_until > clock_timestamp()
            END
        )
  )
  AND NOT EXISTS (
      SELECT FROM recovery_case c JOIN payment y ON y.person_id = c.person_id AND y.id = c.payment_id
      WHERE c.person_id = t.person_id AND c.id = t.case_id AND t.purpose NOT IN ('servicing', 'opt_out_confirmation')
        AND (c.state <> 'open' OR y.status NOT IN ('failed', 'action_required'))
  )
  AND NOT EXISTS (
      SELECT FROM inbox i
      WHERE t.purpose <> 'opt_out_confirmation' AND i.state IN ('unread', 'waiting', 'dead') AND i.subject IN (
          SELECT q.value FROM contact_point q WHERE q.person_id = t.person_id
          UNION ALL SELECT r.source || ':' || r.value FROM person_reference r WHERE r.person_id = t.person_id
          UNION ALL
          SELECT c.gateway || ':' || r.reference
          FROM recovery_case c JOIN payment y ON y.person_id = c.person_id AND y.id = c.payment_id,
              unnest(ARRAY[c.transaction_id, y.invoice_reference, y.subscription_reference]) AS r (reference)
          WHERE c.person_id = t.person_id AND c.id = t.case_id
      )
  )
RETURNING t.id

-- name: record_accepted
UPDATE attempt SET
    state = 'accepted', provider_ref = $4, lease_until = NULL, tries = tries + 1, why = NULL,
    check_at = clock_timestamp() + make_interval(secs => $5), updated_at = now()
WHERE person_id = $1 AND id = $2
  -- A doubt one fence on is the sweep of this very lease: what its worker knows settles it.
  AND ((fence = $3 AND state = 'leased') OR (fence = $3 + 1 AND state = 'in_doubt'))
RETURNING case_id, channel

-- name: record_refused
UPDATE attempt SET
    state = 'failed', lease_until = NULL, tries = tries + 1, why = $4, check_at = NULL, updated_at = now()
WHERE person_id = $1 AND id = $2
  AND ((fence = $3 AND state IN ('leased', 'in_doubt')) OR ($5 AND fence = $3 + 1 AND state = 'in_doubt'))
RETURNING case_id, channel

-- name: record_busy
-- Surely not sent: planned again, unless it was tried too often or is too late. The fence moves on, so that no doubt of
-- a later lease can be taken for one of this.
UPDATE attempt SET
    state = CASE WHEN tries + 1 >= $6 THEN 'failed' ELSE 'planned' END, fence = fence + 1,
    due_at = clock_timestamp() + make_interval(secs => $5),
    lease_until = NULL, handed_over_at = NULL, tries = tries + 1, why = $4, check_at = NULL, updated_at = now()
WHERE person_id = $1 AND id = $2
  AND ((fence = $3 AND state IN ('leased', 'in_doubt')) OR ($7 AND fence = $3 + 1 AND state = 'in_doubt'))
RETURNING case_id, channel, state, due_at

-- name: record_unknown
UPDATE attempt SET
    state = 'in_doubt', lease_until = NULL, tries = tries + 1, why = $4,
    check_at = CASE WHEN $5 THEN clock_timestamp() END, updated_at = now()
WHERE person_id = $1 AND id = $2 AND fence = $3 AND state = 'leased'
RETURNING case_id, channel

-- name: record_talk
-- Of a call that was answered; said again it changes nothing.
UPDATE attempt SET
    connected_at = coalesce(connected_at, $3), conversation_at = coalesce(conversation_at, $4), updated_at = now()
WHERE person_id = $1 AND id = $2

-- name: expired
-- Leases that ran out. One that was not handed over cannot have left; one that was may have.
SELECT person_id, id, case_id, channel, fence, handed_over_at IS NOT NULL AS handed_over, provider
FROM attempt WHERE state = 'leased' AND lease_until <= clock_timestamp()
ORDER BY lease_until LIMIT $1
FOR UPDATE SKIP LOCKED

-- name: expire_to_planned
UPDATE attempt SET state = 'planned', lease_until = NULL, fence = fence + 1, why = $3, updated_at = now()
WHERE person_id = $1 AND id = $2

-- name: expire_to_doubt
UPDATE attempt SET
    state = 'in_doubt', lease_until = NULL, fence = fence + 1, why = $3,
    check_at = CASE WHEN $4 THEN clock_timestamp() END, updated_at = now()
WHERE person_id = $1 AND id = $2

-- name: to_check
-- What a provider is to be asked about; the next turn is set at once, so that two workers do not ask the same.
UPDATE attempt t SET check_at = clock_timestamp() + make_interval(secs => $2)
FROM (
    SELECT person_id, id FROM attempt
    WHERE state IN ('in_doubt', 'accepted') AND check_at <= clock_timestamp()
    ORDER BY check_at LIMIT $1
    FOR UPDATE SKIP LOCKED
) q
WHERE t.person_id = q.person_id AND t.id = q.id
RETURNING t.person_id, t.id, t.case_id, t.channel, t.state, t.fence, t.provider, t.provider_ref, t.message,
    t.handed_over_at,
    extract(epoch FROM clock_timestamp() - t.handed_over_at)::float8 AS since_handover_s

-- name: found_accepted
UPDATE attempt SET
    state = 'accepted', provider_ref = $4, fence = fence + 1, why = NULL,
    check_at = clock_timestamp() + make_interval(secs => $5), updated_at = now()
WHERE person_id = $1 AND id = $2 AND fence = $3 AND state = 'in_doubt'
RETURNING case_id, channel

-- name: stop_checking
UPDATE attempt SET check_at = NULL WHERE person_id = $1 AND id = $2

-- name: by_receipt
SELECT person_id, id FROM attempt WHERE id = $1
UNION
SELECT person_id, id FROM attempt WHERE provider = $2 AND provider_ref = $3
LIMIT 1

-- name: apply_receipt
-- States climb only. A receipt also settles a doubt: the provider speaks of a message that nobody recorded, or that
-- was thought lost and is planned again, or taken back since. `taken` tells that its taking was news.
WITH old AS (
    SELECT person_id, id, state IN ('planned', 'leased', 'in_doubt', 'suppressed') AS taken FROM attempt
    WHERE person_id = $1 AND id = $2 AND (state <> 'suppressed' OR message IS NOT NULL)
    FOR UPDATE
)
UPDATE attempt t SET
    state = CASE
        WHEN $3 = 'delivered' THEN 'delivered'
        WHEN $3 = 'failed' AND t.state <> 'delivered' THEN 'failed'
        WHEN old.taken THEN 'accepted'
        ELSE t.state END,
    provider = coalesce(provider, $4), provider_ref = coalesce(provider_ref, $5),
    fence = CASE WHEN old.taken THEN fence + 1 ELSE fence END,
    lease_until = NULL,
    check_at = CASE
        WHEN $3 IN ('delivered', 'failed') THEN NULL
        ELSE coalesce(check_at, clock_timestamp() + make_interval(secs => $7)) END,
    why = CASE WHEN $3 = 'failed' AND t.state <> 'delivered' THEN $6 WHEN old.taken THEN NULL ELSE why END,
    updated_at = now()
FROM old
WHERE t.person_id = old.person_id AND t.id = old.id
  AND (t.state, $3) NOT IN (('delivered', 'delivered'), ('failed', 'failed'), ('accepted', 'accepted'),
                            ('delivered', 'accepted'), ('delivered', 'failed'), ('failed', 'accepted'))
RETURNING t.case_id, t.channel, t.state, t.contact_point_id, old.taken

-- name: cancel_planned
-- What the gate holds in its hands right now is skipped: it will see the reason once it has the person's lock.
WITH doomed AS (
    SELECT person_id, id FROM attempt WHERE case_id = $1 AND state = 'planned' FOR UPDATE SKIP LOCKED
)
UPDATE attempt t SET state = 'suppressed', why = $2, updated_at = now()
FROM doomed d WHERE t.person_id = d.person_id AND t.id = d.id
RETURNING t.person_id, t.id, t.channel

-- name: was_planned
SELECT EXISTS (SELECT FROM attempt WHERE person_id = $1 AND purpose = $2 AND created_at >= $3)

-- name: of_case
SELECT id, channel, state, due_at, tries, provider, provider_ref, decision, why, updated_at FROM attempt
WHERE person_id = $1 AND case_id = $2 ORDER BY created_at, due_at LIMIT 100

-- name: address_of
SELECT a.person_id, a.contact_point_id, a.channel, p.value FROM attempt a
JOIN contact_point p ON p.person_id = a.person_id AND p.id = a.contact_point_id
WHERE a.id = $1

-- name: case_of
SELECT case_id FROM attempt WHERE id = $1
