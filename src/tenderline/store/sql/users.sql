-- name: create
INSERT INTO app_user (id, email, name, password_hash, role, must_choose_password) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (email) DO NOTHING RETURNING id

-- name: by_email
SELECT id, email, name, role, password_hash FROM app_user WHERE email = $1 AND disabled_at IS NULL

-- name: listed
SELECT id, email, name, role, disabled_at, created_at FROM app_user ORDER BY email LIMIT $1

-- name: one
SELECT id, email, name, role, disabled_at, created_at FROM app_user WHERE id = $1

-- name: set_password
UPDATE app_user SET password_hash = $2, must_choose_password = $3 WHERE email = $1 RETURNING id

-- name: rehash
-- Only if nobody set another password meanwhile.
UPDATE app_user SET password_hash = $3 WHERE id = $1 AND password_hash = $2 RETURNING id

-- name: set_role
UPDATE app_user SET role = $2 WHERE email = $1 RETURNING id

-- name: disable
UPDATE app_user SET disabled_at = now() WHERE email = $1 AND disabled_at IS NULL RETURNING id

-- name: enable
UPDATE app_user SET disabled_at = NULL WHERE email = $1 AND disabled_at IS NOT NULL RETURNING id

-- name: lock_admins
SELECT email FROM app_user WHERE role = 'admin' AND disabled_at IS NULL ORDER BY id FOR UPDATE

-- name: open_session
-- Only for the password that was checked: whoever changes it waits for this row, and then ends this session too.
WITH entitled AS (
    SELECT id FROM app_user WHERE id = $2 AND password_hash = $5 AND disabled_at IS NULL FOR SHARE
)
INSERT INTO session (token_hash, user_id, csrf_token, expires_at)
SELECT $1::bytea, id, $3::text, now() + make_interval(hours => $4) FROM entitled RETURNING user_id

-- name: find_session
-- Idle and absolute end by the database's clock, one for all processes. A use is written down at most twice a minute.
WITH found AS (
    SELECT s.token_hash, s.csrf_token, s.used_at, u.id, u.email, u.name, u.role,
        u.must_choose_password
    FROM session s JOIN app_user u ON u.id = s.user_id
    WHERE s.token_hash = $1 AND s.expires_at > now() AND s.used_at > now() - make_interval(mins => $2)
      AND u.disabled_at IS NULL
), touched AS (
    UPDATE session s SET used_at = now() FROM found f
    WHERE $3 AND s.token_hash = f.token_hash AND f.used_at < now() - interval '30 seconds'
)
SELECT csrf_token, id, email, name, role, must_choose_password FROM found

-- name: close_session
DELETE FROM session WHERE token_hash = $1

-- name: close_sessions_of
DELETE FROM session WHERE user_id = $1

-- name: sweep_sessions
-- A bounded piece at each sign-in, so that nobody has to clean up.
DELETE FROM session WHERE token_hash IN (
    SELECT token_hash FROM session WHERE expires_at < now() ORDER BY expires_at LIMIT 100 FOR UPDATE SKIP LOCKED
)
