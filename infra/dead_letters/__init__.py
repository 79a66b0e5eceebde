"""What an operator does about parked records: look at them, mark them for redrive, give them up."""
