"""One folder per deployable worker."""
