"""The readers of streams that this machine has."""

from hotfire.traffic.reader import COMPILED, PYTHON

KITS = [PYTHON, *([COMPILED] if COMPILED else [])]
