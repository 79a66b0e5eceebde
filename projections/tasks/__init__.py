"""The read model `tasks`: the current state of each task."""
