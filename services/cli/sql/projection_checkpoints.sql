-- The checkpoints of one read model on one topic.
SELECT partition, next_offset, position FROM mesh.checkpoints
WHERE projection = %(projection)s AND topic = %(topic)s ORDER BY partition
