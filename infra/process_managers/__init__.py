"""Process managers: events in, the next commands out; they keep no state."""
