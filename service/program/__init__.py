"""The program `sale-service`: the one place that knows both sides, and wires the gateway to the service."""
