"""The SQLite schema as numbered steps, applied in order; a step that was released is never changed."""
