-- Where somebody may be is derived from her numbers themselves now (place_zones).
SET LOCAL lock_timeout = '5s';

ALTER TABLE person DROP COLUMN number_zones;
