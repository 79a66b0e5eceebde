"""What every adapter on Redis shares: one pool, its settings, and the translation of the driver's errors."""
