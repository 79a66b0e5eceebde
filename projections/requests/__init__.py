"""The read model `requests`: the current state of each request, and its history."""
