"""The read model `approvals`: what each request that needs a person is asked about, and what became of it."""
