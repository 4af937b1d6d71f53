"""The JSON gateway: translates the documented JSON over HTTP into calls of the generated stubs, and back.

Knows the wire only: no rule of sessions or signing is here, and nothing of `service` is imported.
"""
