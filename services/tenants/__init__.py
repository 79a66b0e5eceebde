"""The worker of tenants."""
