"""The worker of agents."""
