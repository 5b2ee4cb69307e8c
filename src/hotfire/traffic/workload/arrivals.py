"""When requests are due: a unit renewal process, read on the clock of a rate that may change.

Every process is made the same way, by time change. Gaps of mean 1 are added up to S(0), S(1), ...;
request i is due at the moment at which the rate's integral reaches S(i). Gaps that are exponential
make an exact Poisson process at any rate, equal gaps make even spacing, gamma gaps make bursts.
Nothing is rescaled to hit a count, and no arrival depends on how many are asked for.
"""

import math
import random
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

Process = Literal["constant", "poisson", "gamma", "trace"]


class Step(BaseModel):
    """A stretch of one rate; a rate of 0 is a pause."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """How long it lasts."""
    rate_per_second: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Mean arrivals per second in it."""


class Arrival(NamedTuple):
    """One request of a plan; ``offset_ns`` counts from the load's start."""

    seq: int
    offset_ns: int
    prompt_id: int


class Stretch(NamedTuple):
    """A stretch of time in which the rate goes from one value to another on a straight line."""

    seconds: float
    begin_per_second: float
    end_per_second: float

    @property
    def expected(self) -> float:
        """Mean number of arrivals in it."""
        return self.seconds * (self.begin_per_second + self.end_per_second) / 2

    def reached(self, count: float) -> float:
        """Return the seconds after which ``count`` arrivals were to be expected."""
        slope = (self.end_per_second - self.begin_per_second) / self.seconds
        # The usual root of the quadratic cancels for a small slope; this form does not.
        root = math.sqrt(max(0.0, self.begin_per_second**2 + 2 * slope * count))
        return 2 * count / (self.begin_per_second + root) if count else 0.0


def unit_times(process: Process, *, seed: int, burstiness: float = 1.0) -> Iterator[float]:
    """Return the endless times of a renewal process of rate 1."""
    if process == "constant":
        number = 0
        while True:
            yield float(number)
            number += 1
    # Only random() is promised to be stable over Python versions; all else is derived here.
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    time = 0.0
    while True:
        time += exponential(chance) if process == "poisson" else gamma(chance, burstiness)
        yield time


def exponential(chance: random.Random) -> float:
    """Return a gap of mean 1 by inversion."""
    return -math.log(1.0 - chance.random())


def gamma(chance: random.Random, shape: float) -> float:
    """Return a gap of mean 1 whose variance is 1 / shape, after Marsaglia and Tsang (2000)."""
    boost = 1.0
    wanted = shape
    if shape < 1:
        boost = (1.0 - chance.random()) ** (1 / shape)
        shape += 1
    d = shape - 1 / 3
    while True:
        x = normal(chance)
        v = (1 + x / math.sqrt(9 * d)) ** 3
        if v > 0 and math.log(1.0 - chance.random()) < x * x / 2 + d - d * v + d * math.log(v):
            return boost * d * v / wanted


def normal(chance: random.Random) -> float:
    """Return a standard normal variate after Box and Muller."""
    radius = math.sqrt(2 * exponential(chance))
    return radius * math.cos(2 * math.pi * chance.random())


def on_the_clock(units: Iterable[float], stretches: Iterable[Stretch]) -> Iterator[float]:
    """Return the seconds at which the rate's integral reaches each of the unit times."""
    begun = expected = 0.0
    rest = iter(stretches)
    stretch = next(rest, None)
    for unit in units:
        while stretch and unit >= expected + stretch.expected:
            begun, expected = begun + stretch.seconds, expected + stretch.expected
            stretch = next(rest, None)
        if stretch is None:
            return
        yield begun + stretch.reached(unit - expected)
