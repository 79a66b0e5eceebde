-- The last position that was drawn.
SELECT position FROM {schema}.log_head
