-- People with one debt each, in eight zones where it is day, and a contact that is due: in the order in which the
-- product makes them, so that what is due together lies together. $1: how many, $2: the zones, $3: the version of the
-- tables that tell where somebody is. Each lies in one of forty states, so that the rules of the states are asked too.

-- name: people
INSERT INTO person (id, name, locale, place_zones, place_regions, place_evidence, place_version)
SELECT uuidv7(), 'Payer ' || n, 'en_US', ARRAY[($2::text[])[1 + n % cardinality($2::text[])]],
    ARRAY['US', (ARRAY['US-AL', 'US-AK', 'US-AZ', 'US-AR', 'US-CA', 'US-CO', 'US-CT', 'US-DC', 'US-DE', 'US-FL', 'US-GA',
        'US-HI', 'US-IA', 'US-ID', 'US-IL', 'US-IN', 'US-KS', 'US-KY', 'US-LA', 'US-VT', 'US-MD', 'US-ME', 'US-MI',
        'US-MN', 'US-MO', 'US-MS', 'US-MT', 'US-NC', 'US-ND', 'US-NE', 'US-NH', 'US-NJ', 'US-NM', 'US-NV', 'US-NY',
        'US-OH', 'US-OK', 'US-OR', 'US-PA', 'US-TX'])[1 + n % 40]],
    'number', $3
FROM generate_series(1, $1::int) AS n

-- name: contact_points
INSERT INTO contact_point (person_id, id, kind, value, consents)
SELECT id, uuidv7(), 'phone', '+1' || (2000000000 + row_number() OVER (ORDER BY id)),
    '[{"class": "PEC", "channel": "sms", "purposes": ["servicing", "first_party_recovery"]}]'
FROM person ORDER BY id

-- name: lists
INSERT INTO dnc_entry (value, list, source)
SELECT '+1' || (3000000000 + n), 'national', 'benchmark' FROM generate_series(1, greatest(100, $1::int / 10)) AS n

-- name: payments
INSERT INTO payment (
    person_id, id, gateway, transaction_id, status, transaction_status, amount_minor, currency, reason,
    invoice_reference, subscription_reference, observed
)
SELECT id, uuidv7(), 'stripe', 'pi_' || md5(id::text), 'failed', 'FAILED', 2500, 'USD', 'insufficient_funds',
    'in_' || md5(id::text), 'sub_' || md5(id::text), '{}'
FROM person ORDER BY id

-- name: cases
INSERT INTO recovery_case (
    person_id, id, payment_id, gateway, transaction_id, state, reason, amount_minor, currency, policy
)
SELECT person_id, uuidv7(), id, gateway, transaction_id, 'open', reason, amount_minor, currency, 'default@1'
FROM payment ORDER BY person_id

-- name: attempts
INSERT INTO attempt (person_id, id, case_id, channel, purpose, contact_point_id, template, due_at, not_after)
SELECT c.person_id, uuidv7(), c.id, 'sms', 'first_party_recovery', q.id, 'recovery',
    now() - interval '1 h' + row_number() OVER (ORDER BY c.person_id) * interval '5 ms', now() + interval '7 d'
FROM recovery_case c JOIN contact_point q ON q.person_id = c.person_id ORDER BY c.person_id

-- name: news
-- The inbox is never empty on such a day: news about other debts, read and unread.
INSERT INTO inbox (source, event_id, event_type, urgency, subject, body, state)
SELECT 'stripe', 'evt_' || n, 'payment_intent.payment_failed', 2, 'stripe:pi_other_' || n, '{}',
    CASE WHEN n % 10 = 0 THEN 'unread' ELSE 'read' END
FROM generate_series(1, greatest(100, $1::int / 10)) AS n
