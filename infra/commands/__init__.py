"""Commands to the mesh: the port through which they are published, and its Kafka adapter."""
