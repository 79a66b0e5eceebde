"""One module a dashboard; catalogue.py lists them."""
