"""Backends: each runs a plan made of a checked circuit, and hands what it sees to a recorder."""
