-- What has to be traceable: entries, and the chain of hashes over them. Both only ever grow; nobody needs UPDATE or DELETE
-- on them. Transactions write entries side by side, and one at a time puts those that were committed into the chain.

CREATE TABLE audit_entries (
    entry_id    text COLLATE "C" PRIMARY KEY,
    create_time timestamptz NOT NULL,
    caller      text COLLATE "C" NOT NULL,
    address     text COLLATE "C",
    action      text COLLATE "C" NOT NULL,
    subject     text COLLATE "C" NOT NULL,
    details     text COLLATE "C" NOT NULL -- JSON array of arrays of name and value
);

CREATE TABLE audit_chain (
    position bigint PRIMARY KEY, -- from 1, without a gap
    entry_id text COLLATE "C" NOT NULL,
    hash     bytea NOT NULL -- SHA-256 over the hash before and the entry
);

-- Entries that are not in the chain yet.
CREATE TABLE unchained_audit_entries (
    entry_id text COLLATE "C" PRIMARY KEY
);

-- One row, which whoever puts entries into the chain locks.
CREATE TABLE audit_chaining (
    id integer PRIMARY KEY CHECK (id = 1)
);

INSERT INTO audit_chaining VALUES (1);

CREATE FUNCTION refuse_change_of_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END
$$;

CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
EXECUTE FUNCTION refuse_change_of_audit_log();

CREATE TRIGGER audit_chain_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_chain
EXECUTE FUNCTION refuse_change_of_audit_log();
