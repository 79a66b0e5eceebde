"""The worker that gives waiting tasks to agents."""
