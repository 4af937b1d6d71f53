-- The rest of a sale's life: consumers, cards, reports of the result, and every change in order.

CREATE TABLE new_sales (
    invoice_id          TEXT PRIMARY KEY,
    endpoint_id         TEXT NOT NULL,
    consumer_id         TEXT NOT NULL,
    access_token_hash   BLOB NOT NULL,
    serial_number       TEXT NOT NULL,
    imei                TEXT,
    ip_addresses        TEXT NOT NULL, -- JSON array of strings
    lat                 REAL,
    lng                 REAL,
    amount_centis       INTEGER NOT NULL CHECK (amount_centis > 0),
    currency            TEXT NOT NULL,
    nonce               TEXT NOT NULL UNIQUE,
    signature           TEXT NOT NULL,
    initiate_time       INTEGER NOT NULL,
    expire_time         INTEGER NOT NULL,
    update_time         INTEGER NOT NULL,
    state               TEXT NOT NULL,
    email               TEXT,
    random_sum_centis   INTEGER,
    random_sum_failures INTEGER NOT NULL,
    session_token       TEXT,
    check_time          INTEGER,
    check_card_id       TEXT, -- as the first check named it
    client_card_id      TEXT,
    orderid             TEXT,
    amount_differs      INTEGER NOT NULL,
    CHECK ((session_token IS NULL) = (check_time IS NULL))
) STRICT, WITHOUT ROWID;

INSERT INTO new_sales
SELECT
    invoice_id, endpoint_id, 'device:' || serial_number, access_token_hash, serial_number, imei, ip_addresses, lat, lng,
    amount_centis, currency, nonce, signature, initiated_at, expires_at, coalesce(checked_at, initiated_at),
    iif(checked_at IS NULL, 'INITIATED', 'CHECKED'), NULL, NULL, 0, session_token, checked_at, NULL, NULL, NULL, 0
FROM sales;

DROP TABLE sales;
ALTER TABLE new_sales RENAME TO sales;

-- The primary key follows the indexed columns: each lists sales by invoice id, that is by time. Every one that a new sale
-- is in makes initiate sale dearer; so states are two indexes, of which it is in the small one, and endpoints have none.
CREATE INDEX sales_initiated ON sales (invoice_id) WHERE state = 'INITIATED';
CREATE INDEX sales_by_state ON sales (state) WHERE state <> 'INITIATED';
CREATE INDEX sales_by_consumer ON sales (consumer_id);
CREATE INDEX sales_by_card ON sales (client_card_id) WHERE client_card_id IS NOT NULL;
CREATE INDEX sales_by_session_token ON sales (session_token, access_token_hash) WHERE session_token IS NOT NULL;

-- What can change of a sale, as each change left it. One writer at a time gives the positions, so they are the order of
-- the commits. They are removed in that order, up to a position that is kept, so that none is given twice.
CREATE TABLE sale_changes (
    position       INTEGER PRIMARY KEY,
    order_time     INTEGER NOT NULL, -- the latest update_time up to here: never less than that of the change before
    invoice_id     TEXT NOT NULL,
    update_time    INTEGER NOT NULL,
    state          TEXT NOT NULL,
    check_time     INTEGER,
    client_card_id TEXT,
    orderid        TEXT,
    amount_differs INTEGER NOT NULL
) STRICT;

CREATE TABLE purged_changes (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    position INTEGER NOT NULL
) STRICT;

INSERT INTO purged_changes VALUES (1, 0);

INSERT INTO sale_changes (order_time, invoice_id, update_time, state, check_time, amount_differs)
SELECT update_time, invoice_id, update_time, state, check_time, 0 FROM sales ORDER BY update_time, invoice_id;

-- Whatever opens a sale, or changes what is shown of it, sets its update_time.
CREATE TRIGGER sale_opened AFTER INSERT ON sales BEGIN
    INSERT INTO sale_changes (
        position, order_time, invoice_id, update_time, state, check_time, client_card_id, orderid, amount_differs
    )
    VALUES (
        max(
            coalesce((SELECT max(position) FROM sale_changes), 0), (SELECT position FROM purged_changes)
        ) + 1,
        max(
            coalesce((SELECT order_time FROM sale_changes ORDER BY position DESC LIMIT 1), 0), new.update_time
        ),
        new.invoice_id, new.update_time, new.state, new.check_time, new.client_card_id, new.orderid, new.amount_differs
    );
END;

CREATE TRIGGER sale_changed AFTER UPDATE OF update_time ON sales BEGIN
    INSERT INTO sale_changes (
        position, order_time, invoice_id, update_time, state, check_time, client_card_id, orderid, amount_differs
    )
    VALUES (
        max(
            coalesce((SELECT max(position) FROM sale_changes), 0), (SELECT position FROM purged_changes)
        ) + 1,
        max(
            coalesce((SELECT order_time FROM sale_changes ORDER BY position DESC LIMIT 1), 0), new.update_time
        ),
        new.invoice_id, new.update_time, new.state, new.check_time, new.client_card_id, new.orderid, new.amount_differs
    );
END;

CREATE TABLE status_reports (
    invoice_id     TEXT NOT NULL,
    type           TEXT NOT NULL,
    status         TEXT NOT NULL,
    orderid        TEXT NOT NULL,
    amount         TEXT, -- major units, as it was written
    amount_differs INTEGER NOT NULL,
    parameters     TEXT NOT NULL, -- JSON array of arrays of name and value
    receive_time   INTEGER NOT NULL,
    PRIMARY KEY (invoice_id, type, status, orderid)
) STRICT;

CREATE TABLE cards (
    client_card_id           TEXT PRIMARY KEY,
    consumer_id              TEXT NOT NULL,
    create_time              INTEGER NOT NULL,
    endpoint_id              TEXT,
    server_card_id           TEXT,
    unique_reference_card_id INTEGER,
    bin                      TEXT,
    last_four                TEXT,
    email                    TEXT,
    invoice_id               TEXT,
    vault_key_id             TEXT,
    sealed                   BLOB,
    delete_time              INTEGER,
    CHECK ((vault_key_id IS NULL) = (sealed IS NULL)),
    CHECK ((endpoint_id IS NULL) = (server_card_id IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX cards_by_consumer ON cards (consumer_id);
CREATE UNIQUE INDEX cards_by_reference ON cards (consumer_id, endpoint_id, server_card_id)
WHERE server_card_id IS NOT NULL AND delete_time IS NULL;
CREATE INDEX cards_deleted ON cards (consumer_id, endpoint_id, server_card_id) WHERE delete_time IS NOT NULL;

ALTER TABLE access_tokens RENAME COLUMN issued_at TO issue_time;
ALTER TABLE access_tokens RENAME COLUMN expires_at TO expire_time;
ALTER TABLE access_tokens RENAME COLUMN revoked_at TO revoke_time;
ALTER TABLE access_tokens ADD COLUMN consumer_id TEXT;
ALTER TABLE access_tokens ADD COLUMN email TEXT;
ALTER TABLE access_tokens ADD COLUMN serial_number TEXT;
CREATE INDEX access_tokens_by_consumer ON access_tokens (consumer_id) WHERE consumer_id IS NOT NULL;
CREATE INDEX access_tokens_to_expire ON access_tokens (expire_time);

ALTER TABLE idempotency_records RENAME COLUMN expires_at TO expire_time;
CREATE INDEX idempotency_records_to_expire ON idempotency_records (expire_time);
