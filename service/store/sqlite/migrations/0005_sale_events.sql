-- Requests that named a sale, and how they were answered. event_id: microseconds since 1970 when one was received, times
-- 1024, and a number that keeps apart those of the same one.
CREATE TABLE sale_events (
    invoice_id    TEXT NOT NULL,
    event_id      INTEGER NOT NULL,
    duration      INTEGER NOT NULL, -- microseconds
    rpc           TEXT NOT NULL,
    caller        TEXT NOT NULL,
    address       TEXT,
    request_id    TEXT NOT NULL,
    error_reason  INTEGER NOT NULL, -- 0 for a success
    error_message TEXT, -- where it is not what is always said for the reason
    PRIMARY KEY (invoice_id, event_id)
) STRICT, WITHOUT ROWID;

-- Whoever knows an invoice id could fill the disk: the first 100 and the last 100 of each sale are kept.
CREATE TRIGGER sale_event_kept AFTER INSERT ON sale_events
WHEN (SELECT count(*) FROM sale_events WHERE invoice_id = new.invoice_id) > 200 BEGIN
    DELETE FROM sale_events WHERE invoice_id = new.invoice_id AND event_id = (
        SELECT event_id FROM sale_events WHERE invoice_id = new.invoice_id ORDER BY event_id LIMIT 1 OFFSET 100
    );
END;
