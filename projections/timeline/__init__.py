"""The read model `timeline`: what happened to each request, step by step, in its own stream and in those of its tasks."""
