"""The cache: a port, its adapters, and how reads go through it."""
