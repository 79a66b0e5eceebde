"""Supervision of worker processes on one machine: start, watch, start anew after a crash, stop; `agentmesh up` runs it."""
