"""Which deadlines are open: read by the scheduler."""
