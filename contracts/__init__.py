"""The published language of the mesh: envelope, topics, commands and events; pydantic and the standard library, no I/O, no clock."""
