"""The worker of tasks."""
