"""What a person types: the arguments and help texts of every command; the work itself is imported when a command runs."""
