"""Makes ``python -m hotfire`` the command ``hotfire``."""

from hotfire.cli import main

main()
