-- Amounts are centis. Identifiers are compared byte by byte (COLLATE "C"), as everywhere else; a later sale's is larger.

CREATE TABLE sales (
    invoice_id          text COLLATE "C" PRIMARY KEY,
    endpoint_id         text COLLATE "C" NOT NULL,
    consumer_id         text COLLATE "C" NOT NULL,
    access_token_hash   bytea NOT NULL,
    serial_number       text COLLATE "C" NOT NULL,
    imei                text COLLATE "C",
    ip_addresses        text COLLATE "C" NOT NULL, -- JSON array of strings
    lat                 double precision,
    lng                 double precision,
    amount_centis       bigint NOT NULL CHECK (amount_centis > 0),
    currency            text COLLATE "C" NOT NULL,
    nonce               text COLLATE "C" NOT NULL,
    signature           text COLLATE "C" NOT NULL,
    initiate_time       timestamptz NOT NULL,
    expire_time         timestamptz NOT NULL,
    update_time         timestamptz NOT NULL,
    state               text COLLATE "C" NOT NULL,
    email               text COLLATE "C",
    random_sum_centis   bigint,
    random_sum_failures bigint NOT NULL,
    session_token       text COLLATE "C",
    check_time          timestamptz,
    check_card_id       text COLLATE "C", -- as the first check named it
    client_card_id      text COLLATE "C",
    orderid             text COLLATE "C",
    amount_differs      boolean NOT NULL,
    change_time         timestamptz NOT NULL DEFAULT clock_timestamp(), -- by this server's clock; each change has a later one
    CHECK ((session_token IS NULL) = (check_time IS NULL))
);

-- A source of randomness that repeats itself does so at once: nonces are compared within 17 minutes (2^20 ms, the first
-- seven digits of an invoice id). So new entries lie together, and millions of old ones are not touched.
CREATE UNIQUE INDEX sales_by_nonce ON sales (substr(invoice_id, 1, 7), nonce);

-- Each lists sales by invoice id, that is by time. States are two indexes, of which a new sale is in the small one.
CREATE INDEX sales_initiated ON sales (invoice_id) WHERE state = 'INITIATED';
CREATE INDEX sales_by_state ON sales (state, invoice_id) WHERE state <> 'INITIATED';
CREATE INDEX sales_by_consumer ON sales (consumer_id, invoice_id);
CREATE INDEX sales_by_card ON sales (client_card_id, invoice_id) WHERE client_card_id IS NOT NULL;
CREATE INDEX sales_by_session_token ON sales (session_token, access_token_hash) WHERE session_token IS NOT NULL;

-- What can change of a sale, as each change left it. Transactions write changes side by side, without a number that all of
-- them would have to share; afterwards one at a time gives positions to those that were committed (change_order).
CREATE TABLE unordered_changes (
    change_time    timestamptz NOT NULL,
    invoice_id     text COLLATE "C" NOT NULL,
    update_time    timestamptz NOT NULL,
    state          text COLLATE "C" NOT NULL,
    check_time     timestamptz,
    client_card_id text COLLATE "C",
    orderid        text COLLATE "C",
    amount_differs boolean NOT NULL,
    PRIMARY KEY (change_time, invoice_id)
);

CREATE TABLE sale_changes (
    position       bigint PRIMARY KEY,
    order_time     timestamptz NOT NULL, -- the latest update_time up to here: never less than that of the change before
    invoice_id     text COLLATE "C" NOT NULL,
    update_time    timestamptz NOT NULL,
    state          text COLLATE "C" NOT NULL,
    check_time     timestamptz,
    client_card_id text COLLATE "C",
    orderid        text COLLATE "C",
    amount_differs boolean NOT NULL
);

-- One row. Whoever gives or purges positions locks it.
CREATE TABLE change_order (
    id              integer PRIMARY KEY CHECK (id = 1),
    last_position   bigint NOT NULL,
    last_time       timestamptz NOT NULL, -- order_time of that change
    purged_position bigint NOT NULL -- changes up to here were purged
);

INSERT INTO change_order VALUES (1, 0, '-infinity', 0);

CREATE TABLE status_reports (
    invoice_id     text COLLATE "C" NOT NULL,
    type           text COLLATE "C" NOT NULL,
    status         text COLLATE "C" NOT NULL,
    orderid        text COLLATE "C" NOT NULL,
    amount         text COLLATE "C", -- major units, as it was written
    amount_differs boolean NOT NULL,
    parameters     text COLLATE "C" NOT NULL, -- JSON array of arrays of name and value
    receive_time   timestamptz NOT NULL,
    arrival        integer NOT NULL, -- 1 for the first one of its sale
    PRIMARY KEY (invoice_id, arrival)
);

CREATE TABLE cards (
    client_card_id           text COLLATE "C" PRIMARY KEY,
    consumer_id              text COLLATE "C" NOT NULL,
    create_time              timestamptz NOT NULL,
    endpoint_id              text COLLATE "C",
    server_card_id           text COLLATE "C",
    unique_reference_card_id bigint,
    bin                      text COLLATE "C",
    last_four                text COLLATE "C",
    email                    text COLLATE "C",
    invoice_id               text COLLATE "C",
    vault_key_id             text COLLATE "C",
    sealed                   bytea,
    delete_time              timestamptz,
    CHECK ((vault_key_id IS NULL) = (sealed IS NULL)),
    CHECK ((endpoint_id IS NULL) = (server_card_id IS NULL))
);

CREATE INDEX cards_by_consumer ON cards (consumer_id, client_card_id);
CREATE UNIQUE INDEX cards_by_reference ON cards (consumer_id, endpoint_id, server_card_id)
WHERE server_card_id IS NOT NULL AND delete_time IS NULL;
CREATE INDEX cards_deleted ON cards (consumer_id, endpoint_id, server_card_id) WHERE delete_time IS NOT NULL;
CREATE INDEX cards_sealed ON cards (client_card_id) WHERE vault_key_id IS NOT NULL;

CREATE TABLE access_tokens (
    hash          bytea PRIMARY KEY, -- SHA-256; the token itself is stored nowhere
    issue_time    timestamptz NOT NULL,
    expire_time   timestamptz NOT NULL,
    endpoint_id   text COLLATE "C",
    consumer_id   text COLLATE "C",
    email         text COLLATE "C",
    serial_number text COLLATE "C",
    revoke_time   timestamptz
);

CREATE INDEX access_tokens_by_consumer ON access_tokens (consumer_id) WHERE consumer_id IS NOT NULL;
CREATE INDEX access_tokens_to_expire ON access_tokens (expire_time);

CREATE TABLE idempotency_records (
    access_token_hash bytea NOT NULL,
    idempotency_key   text COLLATE "C" NOT NULL,
    request_hash      bytea NOT NULL,
    invoice_id        text COLLATE "C" NOT NULL,
    expire_time       timestamptz NOT NULL,
    PRIMARY KEY (access_token_hash, idempotency_key)
);

CREATE INDEX idempotency_records_to_expire ON idempotency_records (expire_time);

-- One row: NEW, COPYING (servers keep off), COPIED, SERVING (copies keep off).
CREATE TABLE store_use (
    id  integer PRIMARY KEY CHECK (id = 1),
    use text COLLATE "C" NOT NULL
);

INSERT INTO store_use VALUES (1, 'NEW');
