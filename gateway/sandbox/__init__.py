"""A payment gateway to try with: the Device API for the app, and what follows at the Connecting Party's server."""
