"""The relay: every context's log onto its Kafka topics."""
