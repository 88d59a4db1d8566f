"""``python -m symconv`` is the shell command."""

from symconv.cli import main

main()
