-- name: more_memory
-- For one sort of millions, on disk beyond it. Sorting has this bound; hashing would take twice as much.
SET LOCAL work_mem = '64MB';
SET LOCAL enable_hashagg = off

-- name: bound_waiting
SET LOCAL lock_timeout = '20s'

-- name: create_staged
-- Of this session alone: whatever becomes of the import, nobody else has seen it.
CREATE TEMP TABLE IF NOT EXISTS dnc_staged (value text NOT NULL);
CREATE TEMP TABLE IF NOT EXISTS dnc_wanted (value text NOT NULL)

-- name: empty_staged
TRUNCATE dnc_staged, dnc_wanted

-- name: sort_staged
-- Each once and in order, so that the list's index grows at one end.
INSERT INTO dnc_wanted SELECT DISTINCT value FROM dnc_staged ORDER BY value

-- name: analyze_wanted
ANALYZE dnc_wanted

-- name: lock_source
-- Writers of one source take turns; readers wait for nobody.
SELECT pg_advisory_xact_lock(hashtextextended('dnc:' || $1 || ':' || $2, 0))

-- name: standing
SELECT entries FROM dnc_list WHERE list = $1 AND source = $2

-- name: would_add
SELECT count(*) FROM dnc_wanted w
WHERE NOT EXISTS (SELECT FROM dnc_entry d WHERE d.value = w.value AND d.list = $1 AND d.source = $2)

-- name: would_remove
SELECT count(*) FROM dnc_entry d
WHERE d.list = $1 AND d.source = $2 AND NOT EXISTS (SELECT FROM dnc_wanted w WHERE w.value = d.value)

-- name: remove_absent
WITH gone AS (
    DELETE FROM dnc_entry d
    WHERE d.list = $1 AND d.source = $2 AND NOT EXISTS (SELECT FROM dnc_wanted w WHERE w.value = d.value)
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: merge
-- What is added neither narrows nor shortens what stands, unless the file is the whole truth ($5). An entry that had
-- ended stands anew from now on. `renewed` counts those that were there and changed.
WITH done AS (
    INSERT INTO dnc_entry AS d (value, list, source, channels, expires_at)
    SELECT value, $1::text, $2::text, $3::text[], now() + make_interval(days => $4::int) FROM dnc_wanted
    ON CONFLICT (value, list, source) DO UPDATE SET
        channels = CASE
            WHEN $5 THEN excluded.channels
            WHEN d.channels = '{}' OR excluded.channels = '{}' THEN '{}'
            ELSE ARRAY(SELECT DISTINCT unnest(d.channels || excluded.channels) ORDER BY 1) END,
        expires_at = CASE
            WHEN $5 THEN excluded.expires_at
            WHEN d.expires_at IS NOT NULL AND excluded.expires_at IS NOT NULL
            THEN greatest(d.expires_at, excluded.expires_at) END,
        added_at = CASE WHEN d.expires_at <= now() THEN now() ELSE d.added_at END
    WHERE CASE
        WHEN $5 THEN d.channels <> excluded.channels OR d.expires_at IS DISTINCT FROM excluded.expires_at
        ELSE (d.channels <> '{}' AND (excluded.channels = '{}' OR NOT excluded.channels <@ d.channels))
            OR (d.expires_at IS NOT NULL AND (excluded.expires_at IS NULL OR excluded.expires_at > d.expires_at)) END
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new) AS added, count(*) FILTER (WHERE NOT is_new) AS renewed FROM done

-- name: note_import
-- $5: the file is the whole truth; $6: there is a file, and with it the list is new.
INSERT INTO dnc_list AS l (list, source, entries, ends_at, refreshed_at, refreshed_by, file_name, file_sha256)
SELECT $1, $2, $3, now() + make_interval(days => $4::int), CASE WHEN $6 THEN now() END, $7, $8, $9
ON CONFLICT (list, source) DO UPDATE SET
    entries = l.entries + excluded.entries,
    ends_at = CASE
        WHEN $5 OR l.entries = 0 THEN excluded.ends_at
        WHEN l.ends_at IS NOT NULL AND excluded.ends_at IS NOT NULL THEN greatest(l.ends_at, excluded.ends_at) END,
    refreshed_at = CASE WHEN $6 THEN excluded.refreshed_at ELSE l.refreshed_at END,
    refreshed_by = CASE WHEN $6 THEN excluded.refreshed_by ELSE l.refreshed_by END,
    file_name = CASE WHEN $6 THEN excluded.file_name ELSE l.file_name END,
    file_sha256 = CASE WHEN $6 THEN excluded.file_sha256 ELSE l.file_sha256 END
RETURNING entries

-- name: lists
SELECT list, source, entries, ends_at, refreshed_at, refreshed_by, file_name FROM dnc_list
ORDER BY list, source LIMIT $1

-- name: of_value
-- `is_over` by the clock that the gate asks.
SELECT value, list, source, channels, added_at, expires_at,
    coalesce(expires_at <= statement_timestamp(), false) AS is_over
FROM dnc_entry WHERE value = $1 AND ($2::text IS NULL OR list = $2) ORDER BY list, source LIMIT $3

-- name: remove_value
DELETE FROM dnc_entry WHERE value = $1 AND list = $2 RETURNING source

-- name: count_down
UPDATE dnc_list SET entries = entries - 1 WHERE list = $1 AND source = ANY($2::text[])

-- name: remove_source
DELETE FROM dnc_entry WHERE list = $1 AND source = $2

-- name: forget_source
DELETE FROM dnc_list WHERE list = $1 AND source = $2 RETURNING entries
