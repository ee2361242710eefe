"""Experiments: one file a figure or question, each run as ``python -m experiments.NAME`` from the repository."""
