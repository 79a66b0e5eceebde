"""The monitor: how far every follower is behind, what waits and what is parked, told from outside."""
