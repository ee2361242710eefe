"""neuromirror."""
