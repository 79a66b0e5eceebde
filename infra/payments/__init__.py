"""Paying money back: the port, an adapter over HTTP, and one in memory for tests."""
