"""The read model `tenants`: the settings of each tenant."""
