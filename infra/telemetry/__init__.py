"""Logs, spans and metrics of one process: made by its `main`, handed to workers as one `Telemetry`."""
