"""The published language of the tenants context."""
