"""Kafka: topics, the batch subscription, and the batch publisher; every setting of the clients is fixed here."""
