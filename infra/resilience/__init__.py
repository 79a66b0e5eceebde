"""Wrappers around remote calls: how many at once, when to stop asking, how long to wait for an answer, what to try again."""
