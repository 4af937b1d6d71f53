"""The program `sale-gateway`, and what every program of this project has: settings, logs, signals, workers."""
