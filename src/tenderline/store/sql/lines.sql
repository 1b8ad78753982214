-- name: all
SELECT number, campaign, flow, language, currency, fund, record, updated_at, updated_by, look_up_by
FROM telephone_line ORDER BY number

-- name: put
INSERT INTO telephone_line (number, campaign, flow, language, currency, fund, record, updated_by, look_up_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (number) DO UPDATE SET campaign = $2, flow = $3, language = $4, currency = $5, fund = $6, record = $7,
    updated_by = $8, look_up_by = $9, updated_at = now()

-- name: remove
DELETE FROM telephone_line WHERE number = $1 RETURNING number

-- name: telephones
SELECT name, ha1_md5, ha1_sha256, queues, enabled FROM telephone ORDER BY name

-- name: put_telephone
INSERT INTO telephone (name, ha1_md5, ha1_sha256, queues) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE SET ha1_md5 = $2, ha1_sha256 = $3, queues = $4, enabled = true

-- name: disable_telephone
-- One that is an agent by itself is none any more, either.
WITH agents AS (UPDATE agent SET enabled = false WHERE telephone = $1 AND automatic)
UPDATE telephone SET enabled = false WHERE name = $1 AND enabled RETURNING name

-- name: newest_flow
SELECT name, version, content, digest, created_at, created_by FROM flow WHERE name = $1 ORDER BY version DESC LIMIT 1

-- name: newest_flows
SELECT DISTINCT ON (name) name, version, content, digest, created_at, created_by FROM flow ORDER BY name, version DESC

-- name: flow_version
SELECT name, version, content, digest, created_at, created_by FROM flow WHERE name = $1 AND version = $2

-- name: add_flow
INSERT INTO flow (name, version, content, digest, created_by)
SELECT $1, coalesce(max(version), 0) + 1, $2, $3, $4 FROM flow WHERE name = $1
RETURNING version

-- name: lock_flow
SELECT pg_advisory_xact_lock(hashtextextended('flow:' || $1, 0))

-- name: callbacks
-- One is over when its call was spoken; one that did not get through stays, with the reason.
SELECT id, number, due_at, person_id, conversation_id, created_at, attempt_state, why FROM callback_seen
WHERE state = 'waiting' AND looks <> 'done' ORDER BY due_at LIMIT $1
