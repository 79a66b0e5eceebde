"""What every worker uses: batches, decisions, checkpoints, processes."""
