"""The language of customer requests: its commands, its events and the values both are made of."""
