"""The published language of the agents context."""
