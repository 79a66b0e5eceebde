"""The fleet at a terminal, looked at again and again: `samples.py` reads, `frame.py` compares, `screen.py` draws, `run.py` repeats."""
