"""The read model `agents`: the current state of each agent."""
