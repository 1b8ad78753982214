-- name: queues
-- Since the instant $1: service level counts who was connected in time, of all who were, or gave up after it.
SELECT q.name, q.title, q.service_level_s, q.service_level_percent,
    count(*) FILTER (WHERE w.state = 'waiting' AND w.kept_at IS NULL)::int AS waiting,
    count(*) FILTER (WHERE w.state IN ('waiting', 'offered') AND w.kept_at IS NOT NULL)::int AS kept,
    max(extract(epoch FROM clock_timestamp() - w.entered_at))
        FILTER (WHERE w.state = 'waiting' AND w.kept_at IS NULL)::float8 AS oldest_s,
    count(*) FILTER (WHERE w.connected_at >= $1)::int AS connected,
    count(*) FILTER (WHERE w.connected_at >= $1
        AND w.connected_at - w.entered_at <= make_interval(secs => q.service_level_s))::int AS in_time,
    count(*) FILTER (WHERE w.connected_at IS NULL AND w.left_at >= $1 AND w.outcome IN ('abandoned', 'timed_out')
        AND w.left_at - w.entered_at > make_interval(secs => q.service_level_s))::int AS lost_late,
    count(*) FILTER (WHERE w.overflowed AND w.connected_at >= $1)::int AS overflowed
FROM queue q LEFT JOIN waiting w ON w.queue = q.name AND (w.state <> 'left' OR w.entered_at >= $1)
GROUP BY q.name ORDER BY q.name
