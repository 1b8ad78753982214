-- Where somebody may be is derived from her numbers themselves (place_zones), and when she was contacted from the
-- attempts: neither is set beside them any more.
SET LOCAL lock_timeout = '5s';

ALTER TABLE person DROP COLUMN number_zones, DROP COLUMN last_contacted_at;
ALTER TABLE attempt DROP COLUMN contacted_before;
