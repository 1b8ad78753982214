-- What a person wrote waits for somebody to read it; a webhook waits for what its gateway must be asked; whether
-- somebody is silent is derived from her words, so everybody who is silent needs one.
SET LOCAL lock_timeout = '5s';

ALTER TABLE person ADD COLUMN review_at timestamptz;  -- since when something she wrote waits to be read by a person

INSERT INTO consent (person_id, id, channel, address, granted, how, evidence, at)
SELECT p.id, gen_random_uuid(), coalesce(split_part(p.opted_out_by, ':', 1), 'sms'),
    coalesce(substr(p.opted_out_by, strpos(p.opted_out_by, ':') + 1), ''), false, 'earlier version', NULL, p.opted_out_at
FROM person p
WHERE p.opted_out_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM consent c WHERE c.person_id = p.id AND NOT c.granted);

ALTER TABLE inbox DROP CONSTRAINT inbox_state_check;
ALTER TABLE inbox ADD CONSTRAINT inbox_state_check
    CHECK (state IN ('unread', 'waiting', 'read', 'dead', 'discarded'));
DROP INDEX inbox_unread_subject;
CREATE INDEX inbox_unread_subject ON inbox (subject)
    WHERE state IN ('unread', 'waiting', 'dead') AND subject IS NOT NULL;
-- Bodies are written once and read once or twice: kept beside their row as they are. Compressing each and writing it
-- to a second table took a third of the time of receiving one of 3 KB.
ALTER TABLE inbox ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE inbox SET (toast_tuple_target = 8160);
