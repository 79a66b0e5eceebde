"""Who calls, and what they may do: principals, tokens, permissions."""
