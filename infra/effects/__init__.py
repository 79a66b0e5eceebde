"""What agents do to the outside world, recorded so that no attempt does again what an earlier one did."""
