"""Wrappers around remote calls: what to try again, and how long to wait in between."""
