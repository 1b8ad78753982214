-- What callers in line hear is the flow's, in each of its languages; nobody ever spoke this.
SET LOCAL lock_timeout = '5s';

ALTER TABLE queue DROP COLUMN comfort;
