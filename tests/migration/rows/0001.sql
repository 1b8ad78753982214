-- Rows as version 0001 could hold them; later versions must bring them along.
INSERT INTO person (id, name, zone, opted_out_at, opted_out_by) VALUES
    ('00000000-0000-7000-8000-000000000001', 'Ann', 'Europe/London', NULL, NULL),
    ('00000000-0000-7000-8000-000000000002', 'Ben', NULL, now(), 'sms:+12025550101');
INSERT INTO contact_point (person_id, id, kind, value) VALUES
    ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000011', 'email', 'ann@example.org'),
    ('00000000-0000-7000-8000-000000000002', '00000000-0000-7000-8000-000000000012', 'phone', '+12025550101');
INSERT INTO person_reference (person_id, source, value) VALUES
    ('00000000-0000-7000-8000-000000000001', 'stripe', 'cus_1');
INSERT INTO payment (person_id, id, gateway, transaction_id, status, transaction_status, amount_minor, currency, observed)
VALUES ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000021', 'stripe', 'pi_1', 'failed',
    'FAILED', 2500, 'USD', '{"status": "failed"}');
INSERT INTO recovery_case (person_id, id, payment_id, gateway, transaction_id, state, reason, policy) VALUES
    ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000031',
     '00000000-0000-7000-8000-000000000021', 'stripe', 'pi_1', 'open', 'unknown', 'default@1');
INSERT INTO attempt (person_id, id, case_id, channel, purpose, contact_point_id, template, due_at, not_after) VALUES
    ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000041',
     '00000000-0000-7000-8000-000000000031', 'email', 'first_party_recovery', '00000000-0000-7000-8000-000000000011',
     'recovery', now(), now() + interval '7 days');
INSERT INTO inbox (source, event_id, event_type, urgency, subject, body) VALUES
    ('stripe', 'evt_1', 'charge.failed', 2, 'stripe:pi_1', '{}');
INSERT INTO event (id, kind, person_id, data) VALUES
    ('00000000-0000-7000-8000-000000000051', 'PaymentFailed', '00000000-0000-7000-8000-000000000001',
     '{"kind": "PaymentFailed", "amount": "$25.00", "reason": "unknown"}');
