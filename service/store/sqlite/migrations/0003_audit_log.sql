-- What has to be traceable: entries, and the chain of hashes over them. Both only ever grow.

CREATE TABLE audit_entries (
    entry_id    TEXT PRIMARY KEY,
    create_time INTEGER NOT NULL,
    caller      TEXT NOT NULL,
    address     TEXT,
    action      TEXT NOT NULL,
    subject     TEXT NOT NULL,
    details     TEXT NOT NULL -- JSON array of arrays of name and value
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_chain (
    position INTEGER PRIMARY KEY, -- from 1, without a gap
    entry_id TEXT NOT NULL,
    hash     BLOB NOT NULL -- SHA-256 over the hash before and the entry
) STRICT;

CREATE TRIGGER audit_entry_updated BEFORE UPDATE ON audit_entries BEGIN
    SELECT raise(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_entry_deleted BEFORE DELETE ON audit_entries BEGIN
    SELECT raise(ABORT, 'the audit log is append-only');
END;

-- INSERT OR REPLACE would delete without the trigger above.
CREATE TRIGGER audit_entry_inserted BEFORE INSERT ON audit_entries
WHEN EXISTS (SELECT 1 FROM audit_entries WHERE entry_id = new.entry_id) BEGIN
    SELECT raise(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_link_updated BEFORE UPDATE ON audit_chain BEGIN
    SELECT raise(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_link_deleted BEFORE DELETE ON audit_chain BEGIN
    SELECT raise(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_link_inserted BEFORE INSERT ON audit_chain
WHEN EXISTS (SELECT 1 FROM audit_chain WHERE position = new.position) BEGIN
    SELECT raise(ABORT, 'the audit log is append-only');
END;
