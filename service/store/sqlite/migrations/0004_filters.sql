-- What new sales have taken of limits. A row says nothing any more once its time is over.
CREATE TABLE limit_uses (
    key      BLOB PRIMARY KEY, -- SHA-256 of the limit and of whose it is
    end_time INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX limit_uses_to_end ON limit_uses (end_time);

-- What no sale is taken from. Of an address prefix_length counts bits, of a bin digits; otherwise it is 0.
CREATE TABLE blocks (
    kind          TEXT NOT NULL,
    prefix_length INTEGER NOT NULL,
    value         TEXT NOT NULL,
    reason        TEXT NOT NULL,
    create_time   INTEGER NOT NULL,
    expire_time   INTEGER,
    caller        TEXT NOT NULL,
    PRIMARY KEY (kind, prefix_length, value)
) STRICT, WITHOUT ROWID;

CREATE INDEX blocks_to_expire ON blocks (expire_time) WHERE expire_time IS NOT NULL;
