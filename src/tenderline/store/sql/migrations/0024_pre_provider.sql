-- Payments that a provider's own menu takes: we hand the caller over and hear of the money from the gateway.
SET LOCAL lock_timeout = '5s';

ALTER TABLE capture_session DROP CONSTRAINT capture_session_mode_check;
ALTER TABLE capture_session ADD CONSTRAINT capture_session_mode_check
    CHECK (mode IN ('automated', 'leave', 'attended', 'provider')) NOT VALID;
CREATE INDEX capture_session_open ON capture_session (updated_at) WHERE state = 'open';
