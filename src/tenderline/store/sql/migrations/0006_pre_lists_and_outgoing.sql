-- Do-not-contact lists as they were imported, and webhooks that tell others what happened.
SET LOCAL lock_timeout = '5s';

-- One list may come from several sources (the registries of two countries); each speaks for its own entries alone.
ALTER TABLE dnc_entry DROP CONSTRAINT dnc_entry_pkey;
ALTER TABLE dnc_entry ADD CONSTRAINT dnc_entry_pkey PRIMARY KEY (value, list, source);
DROP INDEX dnc_entry_list;
CREATE INDEX dnc_entry_source ON dnc_entry (list, source);

-- What each source last brought. Counted as entries change: a registry holds hundreds of millions of them.
CREATE TABLE dnc_list (
    list text NOT NULL,
    source text NOT NULL,
    entries bigint NOT NULL DEFAULT 0,
    ends_at timestamptz,                        -- when the last of its entries ends; none: never
    refreshed_at timestamptz,                   -- when a file was read in last; single entries do not make a list new
    refreshed_by text,
    file_name text,
    file_sha256 bytea,
    PRIMARY KEY (list, source)
);
INSERT INTO dnc_list (list, source, entries, ends_at, refreshed_at)
SELECT list, source, count(*), CASE WHEN bool_or(expires_at IS NULL) THEN NULL ELSE max(expires_at) END, max(added_at)
FROM dnc_entry GROUP BY list, source;

-- Who is told of what happened. Secrets are sealed with a key that is not in the database.
CREATE TABLE webhook_endpoint (
    id uuid PRIMARY KEY,
    url text NOT NULL,
    events text[] NOT NULL,
    secret bytea NOT NULL,
    old_secret bytea,                           -- while a secret is changed, both sign
    old_secret_until timestamptz,
    told_from timestamptz NOT NULL DEFAULT now(), -- what happened before is told by a replay only
    disabled_at timestamptz,
    disabled_why text,
    failures integer NOT NULL DEFAULT 0,        -- one after the other, of whatever message
    failing_since timestamptz,
    paused_until timestamptz,                   -- it asked for a pause, or failed too often
    created_at timestamptz NOT NULL DEFAULT now()
);

-- One row for each event and each endpoint. `message_id` is the event's id and the webhook-id: the same for every try
-- and every replay. `tries` counts leases and is the fence: what became of a try is recorded once, and only by who made
-- it. While `leased_until` lies ahead, somebody is at it.
CREATE TABLE outgoing_webhook (
    person_id uuid,
    id uuid PRIMARY KEY,
    endpoint_id uuid NOT NULL REFERENCES webhook_endpoint ON DELETE CASCADE,
    message_id uuid NOT NULL,
    kind text NOT NULL,
    body text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'failed')),
    tries integer NOT NULL DEFAULT 0,
    schedule_from integer NOT NULL DEFAULT 0,   -- the tries before the last replay: the pauses begin anew
    next_try_at timestamptz,
    leased_until timestamptz,
    last_try_at timestamptz,
    last_status smallint,                       -- of the answer; none when there was none
    why text,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (endpoint_id, message_id)
);
CREATE INDEX outgoing_webhook_newest ON outgoing_webhook (created_at DESC, id DESC);
CREATE INDEX outgoing_webhook_waiting ON outgoing_webhook (endpoint_id, next_try_at) WHERE state = 'waiting';
CREATE INDEX outgoing_webhook_failed ON outgoing_webhook (endpoint_id, created_at) WHERE state = 'failed';

-- A replay looks for what an endpoint was never told.
CREATE INDEX event_told ON event (at) WHERE kind IN ('PersonOptedOut', 'PersonOptedIn');
