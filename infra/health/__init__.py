"""What a worker says about the servers it depends on; asked by `/health` and `/health/ready`, never by liveness."""
