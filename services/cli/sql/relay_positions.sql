-- How far each context's log has reached Kafka.
SELECT context, epoch, position, moved_at FROM mesh.relay_positions ORDER BY context
