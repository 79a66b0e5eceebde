"""Benchmarks: the product beside a raw pipeline, in one run on one machine; started by `make bench`, never a gate."""
