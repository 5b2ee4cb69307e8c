"""The readers of streams that this machine has."""

from hotfire.traffic.wire.reader import COMPILED, PYTHON

KITS = [PYTHON, *([COMPILED] if COMPILED else [])]
