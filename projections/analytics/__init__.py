"""The read model `analytics`: one small row for each request, task and model usage, to be counted."""
