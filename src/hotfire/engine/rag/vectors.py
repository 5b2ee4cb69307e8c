"""Embeddings that need no model: a text is the words it holds, hashed into so many places."""

import hashlib
import math
import re
from collections import Counter

PLACES = 256
_WORD = re.compile(r"\w+")
Vector = list[float]


def embedded(text: str) -> Vector:
    """Return a vector of length one; of a text without a word, all zero."""
    counts = Counter(_place(word) for word in _WORD.findall(text.lower()))
    length = math.sqrt(sum(count * count for count in counts.values())) or 1.0
    return [counts[place] / length for place in range(PLACES)]


def similarity(one: Vector, other: Vector) -> float:
    """Return the cosine of the angle between two vectors of length one."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def _place(word: str) -> int:
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:2], "big") % PLACES
