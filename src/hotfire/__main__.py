"""``python -m hotfire``."""

from hotfire.cli import main

main()
