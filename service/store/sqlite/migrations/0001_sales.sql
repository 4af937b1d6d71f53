-- Times are microseconds since 1970-01-01 UTC; amounts are centis.

CREATE TABLE sales (
    invoice_id        TEXT PRIMARY KEY,
    endpoint_id       TEXT NOT NULL,
    access_token_hash BLOB NOT NULL,
    serial_number     TEXT NOT NULL,
    imei              TEXT,
    ip_addresses      TEXT NOT NULL, -- JSON array of strings
    lat               REAL,
    lng               REAL,
    amount_centis     INTEGER NOT NULL CHECK (amount_centis > 0),
    currency          TEXT NOT NULL,
    nonce             TEXT NOT NULL UNIQUE,
    signature         TEXT NOT NULL,
    initiated_at      INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL,
    session_token     TEXT,
    checked_at        INTEGER,
    CHECK ((session_token IS NULL) = (checked_at IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE access_tokens (
    hash        BLOB PRIMARY KEY, -- SHA-256; the token itself is stored nowhere
    endpoint_id TEXT,
    issued_at   INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    revoked_at  INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency_records (
    access_token_hash BLOB NOT NULL,
    idempotency_key   TEXT NOT NULL,
    request_hash      BLOB NOT NULL,
    invoice_id        TEXT NOT NULL,
    expires_at        INTEGER NOT NULL,
    PRIMARY KEY (access_token_hash, idempotency_key)
) STRICT, WITHOUT ROWID;
