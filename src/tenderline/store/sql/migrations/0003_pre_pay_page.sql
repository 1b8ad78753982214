-- The page at the gateway on which a case's debt can be paid: one row for each case, so that a debt has one live page.
SET LOCAL lock_timeout = '5s';

CREATE TABLE pay_page (
    person_id uuid NOT NULL REFERENCES person,
    case_id uuid NOT NULL,
    number integer NOT NULL,                    -- which page of this case it is: with the case, the idempotency key
    amount_minor bigint NOT NULL,               -- what the gateway is asked with: whoever asks again under the same
    currency text NOT NULL,                     -- number asks for the very same
    description text NOT NULL,
    return_url text NOT NULL,
    url text,                                   -- what it answered; nothing until then
    reference text,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (person_id, case_id),
    CHECK ((url IS NULL) = (reference IS NULL))
);
