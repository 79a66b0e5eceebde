"""Every operation of the gateway as a function: typed arguments in, a Call out. Both clients offer them as methods."""
