"""The demo: a few hundred support cases published over Kafka into the real fleet, watched, counted and checked."""
