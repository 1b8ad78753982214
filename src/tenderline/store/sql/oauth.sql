-- name: create_client
INSERT INTO oauth_client (id, name, secret_hash, scopes) VALUES ($1, $2, $3, $4)

-- name: find_client
SELECT id, secret_hash, scopes FROM oauth_client WHERE id = $1 AND disabled_at IS NULL

-- name: listed
SELECT id, name, scopes, disabled_at, created_at FROM oauth_client ORDER BY created_at LIMIT $1

-- name: disable_client
UPDATE oauth_client SET disabled_at = now() WHERE id = $1 AND disabled_at IS NULL RETURNING id

-- name: enable_client
UPDATE oauth_client SET disabled_at = NULL WHERE id = $1 AND disabled_at IS NOT NULL RETURNING id

-- name: set_secret
UPDATE oauth_client SET secret_hash = $2 WHERE id = $1 AND disabled_at IS NULL RETURNING id

-- name: set_scopes
UPDATE oauth_client SET scopes = $2 WHERE id = $1 AND disabled_at IS NULL RETURNING id

-- name: revoke_tokens
DELETE FROM oauth_token WHERE client_id = $1

-- name: issue_token
-- Only for the secret that was checked: whoever changes it waits for this row, and then ends this token too.
WITH entitled AS (
    SELECT id FROM oauth_client WHERE id = $2 AND secret_hash = $5 AND disabled_at IS NULL FOR SHARE
)
INSERT INTO oauth_token (token_hash, client_id, scopes, expires_at)
SELECT $1::bytea, id, $3::text[], now() + make_interval(secs => $4) FROM entitled RETURNING client_id

-- name: find_token
-- A client that was disabled takes its tokens with it, also one that was issued at the same instant.
SELECT t.client_id, t.scopes FROM oauth_token t JOIN oauth_client c ON c.id = t.client_id
WHERE t.token_hash = $1 AND t.expires_at > now() AND c.disabled_at IS NULL

-- name: sweep_tokens
-- A bounded piece whenever a token is issued, so that nobody has to clean up.
DELETE FROM oauth_token WHERE token_hash IN (
    SELECT token_hash FROM oauth_token WHERE expires_at < now() ORDER BY expires_at LIMIT 100 FOR UPDATE SKIP LOCKED
)
