-- What a payer chooses on her own page: a pause of automated contact, and the channels that she does not want.
SET LOCAL lock_timeout = '5s';

ALTER TABLE person
    ADD COLUMN paused_until timestamptz,
    ADD COLUMN declined_channels text[] NOT NULL DEFAULT '{}';
