"""How often a load's loop looks at the clock, and what it knows about its own fitness."""

from array import array

TICK_NS = 10_000_000
SWEEP_NS = 10 * TICK_NS


class Measurements:
    """What the loop knows about its own fitness; microseconds."""

    def __init__(self, reader: str) -> None:
        self.reader = reader
        self.lag_us = array("L")
        self.lateness_us = array("L")
