"""Streams of events to readers outside: the port, and the tail of the logs that all readers of a process share."""
