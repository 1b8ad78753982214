-- name: tables
-- Every table with the statements that read it, written by the server, which knows how to quote names. The first reads
-- a row: its key, then each column's beginning; the second reads on in one column.
WITH searched AS (
    SELECT a.attrelid, a.attnum, a.attname,
        CASE WHEN t.typname = 'bytea' THEN format('%I', a.attname)
            ELSE format('convert_to(%I::text, ''UTF8'')', a.attname) END AS bytes
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND t.typtype <> 'e'
      AND t.typname NOT IN ('bool', 'int2', 'int4', 'float4', 'uuid', '_uuid', 'date', 'time', 'timetz', 'timestamp',
        'timestamptz', 'interval', 'oid', 'regclass', 'tsvector')
), keys AS (
    SELECT i.indrelid, string_agg(format('%L || %I::text', a.attname || '=', a.attname), ' || '', '' || '
        ORDER BY array_position(i.indkey::int2[], a.attnum)) AS key
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey::int2[])
    WHERE i.indisprimary GROUP BY i.indrelid
)
SELECT format('%s.%s', n.nspname, c.relname) AS name, pg_total_relation_size(c.oid) AS size_bytes,
    array_agg(s.attname::text ORDER BY s.attnum) AS columns,
    format('SELECT left(%s, 300), ctid::text, %s FROM ONLY %I.%I',
        coalesce(k.key, '''ctid='' || ctid::text'),
        string_agg(format('substring(%s FROM 1 FOR $1::int)', s.bytes), ', ' ORDER BY s.attnum),
        n.nspname, c.relname) AS read_rows,
    array_agg(format('SELECT substring(%s FROM $2::int FOR $3::int) FROM ONLY %I.%I WHERE ctid = $1::text::tid',
        s.bytes, n.nspname, c.relname) ORDER BY s.attnum) AS read_on
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN searched s ON s.attrelid = c.oid
    LEFT JOIN keys k ON k.indrelid = c.oid
WHERE c.relkind IN ('r', 'm') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_(catalog|toast|temp)'
GROUP BY n.nspname, c.relname, c.oid, k.key
ORDER BY 1

-- name: foreign_tables
SELECT format('%s.%s', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'f'

-- name: statistics
-- The planner keeps samples of columns, also of rows that are gone.
SELECT format('%s.%s.%s', schemaname, tablename, attname) AS key,
    convert_to(coalesce(most_common_vals::text, '') || ' ' || coalesce(histogram_bounds::text, '') || ' '
        || coalesce(most_common_elems::text, ''), 'UTF8') AS bytes
FROM pg_stats WHERE schemaname <> 'pg_catalog' AND schemaname <> 'information_schema'

-- name: statements
-- What sessions say just now; those of others can only be read by a superuser or a member of pg_read_all_stats.
SELECT 'process ' || pid AS key, convert_to(coalesce(query, '') || ' ' || coalesce(application_name, ''), 'UTF8') AS bytes
FROM pg_stat_activity WHERE pid <> pg_backend_pid()

-- name: large_objects
SELECT format('loid=%s, page=%s', loid, pageno) AS key, data AS bytes FROM pg_largeobject

-- name: data_folder
SELECT current_setting('data_directory')

-- name: try_lock
SELECT pg_try_advisory_lock($1)

-- name: unlock
SELECT pg_advisory_unlock($1)

-- name: is_due
-- Due once a day, from the hour on: none was begun by the night since then. A new installation waits for its first hour.
SELECT EXISTS (SELECT FROM migration WHERE name = '0012_pre_scan.sql' AND at < $1)
    AND NOT EXISTS (SELECT FROM scan WHERE started_by = 'nightly' AND started_at >= $1)

-- name: keep
INSERT INTO scan (
    id, started_at, ended_at, started_by, host, places, paths, findings, not_searched, bytes_searched, canaries, file,
    report
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)

-- name: newest
SELECT id, started_at, ended_at, started_by, host, places, paths, findings, not_searched, bytes_searched, canaries, file
FROM scan ORDER BY started_at DESC, id LIMIT $1

-- name: one
SELECT report, file FROM scan WHERE id = $1

-- name: open_findings
SELECT coalesce(sum(findings), 0)::bigint FROM standing_finding
