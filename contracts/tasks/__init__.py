"""The published language of the tasks context."""
