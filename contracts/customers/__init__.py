"""The published language of the customers context."""
