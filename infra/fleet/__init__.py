"""The port of the fleet topic and its adapter."""
