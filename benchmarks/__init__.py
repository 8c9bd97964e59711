"""Measurements of the course: run one with `python -m benchmarks.NAME --help`."""
