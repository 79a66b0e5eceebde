"""How far each context's log has reached Kafka, and which relay leads."""
