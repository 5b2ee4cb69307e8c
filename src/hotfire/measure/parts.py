"""The parts that a recovery consists of, by name and in their order. Pure."""

from collections.abc import Mapping
from typing import Final

PARTS: Final = {
    "detection": "until the first endpoint left its Service",
    "routing": "until the last request failed",
    "restart": "until the first engine container was started anew",
    "loading": "until as many endpoints were ready as before",
    "settling": "until users were served as before",
}
"""Parts of a recovery in their order, each with the moment that ends it."""


def figure_name(part: str) -> str:
    """Return the name that a part's seconds have among the figures of a fault."""
    return f"spent_{part}_seconds"


def told(figures: Mapping[str, object]) -> list[tuple[str, float, str]]:
    """Return name, seconds and meaning of each part that the figures of a fault tell of."""
    found = [(part, figures.get(figure_name(part)), words) for part, words in PARTS.items()]
    return [(part, value, words) for part, value, words in found if isinstance(value, float)]
