"""Rate limits: a port, its adapters, and the headers that tell a caller where he stands."""
