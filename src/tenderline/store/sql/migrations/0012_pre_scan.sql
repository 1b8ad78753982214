-- Scans for card data: what each found, with its signed report.
SET LOCAL lock_timeout = '5s';

CREATE TABLE scan (
    id uuid PRIMARY KEY,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    started_by text NOT NULL,                   -- 'nightly', or who typed the command
    host text NOT NULL,
    places text[] NOT NULL,
    findings bigint NOT NULL,
    not_searched bigint NOT NULL,
    bytes_searched bigint NOT NULL,
    canaries int NOT NULL,
    file text NOT NULL,
    report text NOT NULL                        -- the very bytes that were signed; never a card number
);
CREATE INDEX scan_newest ON scan (started_at DESC, id);
