"""Sweeps: one circuit with values varied, each with several seeds, as runs of one directory and one table."""
