"""The circuit: its description, how a file becomes one, its checks, and its graph."""
