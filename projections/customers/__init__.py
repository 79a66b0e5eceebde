"""The read model `customers`: what is known of each customer."""
