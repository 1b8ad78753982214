-- Scans for card data: what each found, with its signed report.
SET LOCAL lock_timeout = '5s';

CREATE TABLE scan (
    id uuid PRIMARY KEY,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    started_by text NOT NULL,                   -- 'nightly', or who typed the command
    host text NOT NULL,
    places text[] NOT NULL,
    paths text[] NOT NULL,                      -- log files and folders besides the data folder
    findings bigint NOT NULL,
    not_searched bigint NOT NULL,
    bytes_searched bigint NOT NULL,
    canaries int NOT NULL,
    file text NOT NULL,
    report text NOT NULL                        -- the very bytes that were signed; never a card number
);
CREATE INDEX scan_newest ON scan (started_at DESC, id);

-- Findings that stand: no later scan on that machine looked at least as closely at the same places and found nothing.
CREATE VIEW standing_finding AS
SELECT DISTINCT ON (s.host, s.places, s.paths) s.id, s.findings FROM scan s
WHERE s.findings > 0 AND NOT EXISTS (
    SELECT FROM scan t
    WHERE t.host = s.host AND t.started_at > s.started_at AND t.findings = 0 AND t.not_searched <= s.not_searched
      AND t.canaries >= s.canaries AND t.places @> s.places AND t.paths @> s.paths
)
ORDER BY s.host, s.places, s.paths, s.started_at DESC;
