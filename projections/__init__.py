"""Read models: one folder each, with its tables, its projection and its queries."""
