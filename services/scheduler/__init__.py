"""The scheduler: what is due becomes a command."""
