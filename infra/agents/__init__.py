"""Writing and running agents: the developer's interface, the claims of runs, and the host that carries agents."""
