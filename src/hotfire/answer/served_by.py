"""Headers by which an answer says who gave it."""

from typing import Final

HEADERS: Final = ("x-served-by", "x-inference-pod")
