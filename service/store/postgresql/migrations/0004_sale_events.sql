-- Requests that named a sale, and how they were answered. event_id: microseconds since 1970 when one was received, times
-- 1024, and a number that keeps apart those of the same one.
CREATE TABLE sale_events (
    invoice_id    text COLLATE "C" NOT NULL,
    event_id      bigint NOT NULL,
    duration      bigint NOT NULL, -- microseconds
    rpc           text COLLATE "C" NOT NULL,
    caller        text COLLATE "C" NOT NULL,
    address       text COLLATE "C",
    request_id    text COLLATE "C" NOT NULL,
    error_reason  bigint NOT NULL, -- 0 for a success
    error_message text COLLATE "C", -- where it is not what is always said for the reason
    PRIMARY KEY (invoice_id, event_id)
);
