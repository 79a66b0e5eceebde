"""The console: pages for operators, made on the server from what the API reads and orders; a part of the gateway."""
