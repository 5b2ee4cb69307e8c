"""The fewest engines are none: who comes first is held until one has loaded, and nobody is lost."""

from tests.asleep import asleep
from tests.scaled import scaled

prepared = scaled
broken = asleep
