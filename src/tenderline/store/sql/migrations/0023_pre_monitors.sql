-- Whoever listens to a call is on it, and there is always a queue to escalate to.
SET LOCAL lock_timeout = '5s';

ALTER TABLE participant DROP CONSTRAINT participant_purpose_check, ADD CONSTRAINT participant_purpose_check
    CHECK (purpose IN ('caller', 'agent', 'external', 'monitor')) NOT VALID;
ALTER TABLE participant VALIDATE CONSTRAINT participant_purpose_check;

INSERT INTO queue (name, title, updated_by) VALUES ('supervisor', 'Supervisors', 'migration') ON CONFLICT DO NOTHING;
