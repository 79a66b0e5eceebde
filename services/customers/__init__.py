"""The worker of customers."""
