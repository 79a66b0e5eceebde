"""What a model has said so far of an answer that is not whole: passed on while it is there, and kept nowhere."""
