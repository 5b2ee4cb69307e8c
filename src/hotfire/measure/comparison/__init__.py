"""Is a stretch of requests shown to be served worse than the baseline? Tests with limits. Pure.

"Worse" is said with a declared chance of a false alarm, shared among the tests of one hold. A test
that could not have found an effect worth finding says nothing either way; `Before.noise` tells.
"""

from hotfire.measure.comparison.before import SLOW_WINDOW_SHARE, Before
from hotfire.measure.comparison.control import (
    CONTROL_FALSE_ALARM,
    Control,
    ControlGroup,
    MachinePressure,
)
from hotfire.measure.comparison.shift import Figure, Shift, Stretch

__all__ = [
    "CONTROL_FALSE_ALARM",
    "SLOW_WINDOW_SHARE",
    "Before",
    "Control",
    "ControlGroup",
    "Figure",
    "MachinePressure",
    "Shift",
    "Stretch",
]
