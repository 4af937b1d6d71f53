-- What new sales have taken of limits. A row says nothing any more once its time is over.
CREATE TABLE limit_uses (
    key      bytea PRIMARY KEY, -- SHA-256 of the limit and of whose it is
    end_time timestamptz NOT NULL
);

CREATE INDEX limit_uses_to_end ON limit_uses (end_time);

-- What no sale is taken from. Of an address prefix_length counts bits, of a bin digits; otherwise it is 0.
CREATE TABLE blocks (
    kind          text COLLATE "C" NOT NULL,
    prefix_length bigint NOT NULL,
    value         text COLLATE "C" NOT NULL,
    reason        text COLLATE "C" NOT NULL,
    create_time   timestamptz NOT NULL,
    expire_time   timestamptz,
    caller        text COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, prefix_length, value)
);

CREATE INDEX blocks_to_expire ON blocks (expire_time) WHERE expire_time IS NOT NULL;
