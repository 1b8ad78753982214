-- The page of the audit log looks for actions; a password that an administrator gave is good for one sign-in.
SET LOCAL lock_timeout = '5s';

CREATE INDEX audit_action ON audit (action, number);

ALTER TABLE app_user ADD COLUMN must_choose_password boolean NOT NULL DEFAULT false;
