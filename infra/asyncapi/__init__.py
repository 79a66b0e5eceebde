"""The AsyncAPI document of the mesh, and the command that writes it and the JSON Schemas."""
