"""The PostgreSQL schema as numbered steps, applied in order; a step that was released is never changed.

Every step has to be safe while the version of the program before it still runs.
"""
