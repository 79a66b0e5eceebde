"""Read models: what one is, how its rows and checkpoints are saved, and how it is rebuilt beside itself."""
