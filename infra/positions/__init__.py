"""How far read models have followed the logs, and waiting for them."""
