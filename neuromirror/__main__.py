"""``python -m neuromirror`` is the command ``neuromirror``."""

from neuromirror.cli import main

main()
