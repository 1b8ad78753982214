-- name: take
-- Fixed windows: the first request of a window makes its row, the others count it up, in whichever process they land.
INSERT INTO rate_window AS w (subject, window_start, count)
VALUES ($1, date_bin(make_interval(secs => $2), now(), 'epoch'), 1)
ON CONFLICT (subject, window_start) DO UPDATE SET count = w.count + 1
RETURNING count, ceil(extract(epoch FROM window_start + make_interval(secs => $2) - now()))::integer AS reset_s

-- name: forgive
DELETE FROM rate_window WHERE subject = $1

-- name: sweep
-- No window is longer than an hour. A bounded piece, now and then; what another process sweeps is left to it.
DELETE FROM rate_window WHERE (subject, window_start) IN (
    SELECT subject, window_start FROM rate_window WHERE window_start < now() - interval '1 hour'
    LIMIT 500 FOR UPDATE SKIP LOCKED
)
