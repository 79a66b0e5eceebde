"""The load benchmark of the gateway: calls at fixed rates, with the whole fleet beside it, and a bare endpoint that only produces."""
