-- Accounts that callers are identified by on the telephone, and how often somebody tried.
SET LOCAL lock_timeout = '5s';

CREATE TABLE account (
    number text PRIMARY KEY CHECK (number ~ '^[0-9]{3,12}$'),     -- as it is keyed; no card number is so short
    person_id uuid NOT NULL REFERENCES person,
    pin_hash text,                                                -- argon2id
    postal_code text CHECK (postal_code ~ '^[0-9]{3,10}$'),       -- digits, since it is keyed
    balance_minor bigint CHECK (balance_minor >= 0),              -- as last read in, less what came in by telephone
    currency text,
    read_in_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((balance_minor IS NULL) = (currency IS NULL))
);
CREATE INDEX account_person ON account (person_id);

-- Failed tries by account and by caller, hashed. An account that there is not has its row like one that there is.
CREATE TABLE identification_try (
    subject text PRIMARY KEY,
    since timestamptz NOT NULL,
    tries integer NOT NULL
);
CREATE INDEX identification_try_since ON identification_try (since);

-- What a payment is booked to, once its money has arrived.
ALTER TABLE capture_session ADD COLUMN account text;
