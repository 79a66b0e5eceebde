"""The published language of the mesh: envelope, topics, commands and events; pydantic and the standard library only, no I/O."""
