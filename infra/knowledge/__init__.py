"""The knowledge base: documents of a tenant, cut into passages, found again by what they say."""
