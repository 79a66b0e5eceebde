"""The worker of customer requests."""
