-- Of a caller who hung up before paying: the transaction that the link in her text is paid on.
SET LOCAL lock_timeout = '5s';

ALTER TABLE capture_session ADD COLUMN link_transaction_id text;
CREATE UNIQUE INDEX capture_session_link ON capture_session (gateway, link_transaction_id)
    WHERE link_transaction_id IS NOT NULL;
