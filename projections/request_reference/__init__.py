"""What decisions on requests need of customers and tenants: kept and read by the requests worker."""
