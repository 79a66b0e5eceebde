"""Whole workflows: the fleet of the product beside a Celery chain and DBOS workflows that do the same three steps."""
