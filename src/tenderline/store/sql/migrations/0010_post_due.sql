-- Workers and voice nodes have an index each by now.
SET LOCAL lock_timeout = '5s';

DROP INDEX attempt_due;
