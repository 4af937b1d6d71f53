"""What everybody knows of development mode: where it is, and its endpoint with a key that proves nothing."""

SERVER = "http://127.0.0.1:8080"
"""Base URL of the Connecting Party's server."""
SANDBOX = "127.0.0.1:8090"
"""Host and port of the sandbox payment gateway."""
ENDPOINT_ID = "1111"
CONTROL_KEY = "00000000-1111-2222-3333-444444444444"
