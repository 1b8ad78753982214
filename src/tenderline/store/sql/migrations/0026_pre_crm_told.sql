-- What the CRM was told last of a gift or of the end of a call, and who tells it just now.
SET LOCAL lock_timeout = '5s';

CREATE TABLE crm_told (
    key uuid PRIMARY KEY,                       -- a payment, or ours for the end of a call
    is_call boolean NOT NULL,                   -- whether it is forgotten with its call
    crm text NOT NULL,                          -- which kind of CRM; another one was told nothing yet
    told text,                                  -- how it stands there; null: it is not there yet, as far as anybody knows
    told_at timestamptz NOT NULL DEFAULT now(),
    holder uuid,                                -- the job that tells it just now
    held_until timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX crm_told_calls ON crm_told (told_at) WHERE is_call;
