"""The gateway: HTTP in, commands onto topics and answers from read models out; holds no business rule."""
