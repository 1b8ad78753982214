-- Holds the number of a change that is made elsewhere at the same time; numbers run without a hole.
SET LOCAL lock_timeout = '5s';
