"""Orders to rebuild a read model: placed by whoever may, carried out by a worker, followed by anybody."""
