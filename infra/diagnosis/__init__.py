"""Asks servers how they are, for a person: what answers, and where nothing does, why; used by `agentmesh doctor`."""
