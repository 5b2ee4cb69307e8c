"""Why somebody did not answer, in a person's words: what an exception or a status stands for."""

import re
from http import HTTPStatus
from typing import Final

_STATUS: Final = re.compile(r"HTTP Status Code (\d{3}) \((.*)\)", re.DOTALL)
_QUOTED: Final = 200
_ADVICE: Final = {
    401: "it wants credentials",
    403: "these credentials may not",
    404: "there is no such page",
    429: "it was asked too often",
}
# What the many layers between a socket and us make of the same few causes.
_MARKS: Final = (
    ("connection refused", "connection refused: nobody listens there"),
    ("no route to host", "no route to host"),
    ("name or service not known", "the name does not resolve"),
    ("failed to resolve", "the name does not resolve"),
    ("certificate verify failed", "its certificate is not vouched for"),
    ("timed out", "no answer in time"),
    ("expecting value", "what answers there is not what was asked for: no JSON"),
)


def of_status(status: int) -> str:
    """Return a status as a person says it, e.g. ``401 Unauthorized, it wants credentials``."""
    try:
        phrase = f" {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = ""
    advice = _ADVICE.get(status, "")
    return f"answered {status}{phrase}" + (f", {advice}" if advice else "")


def of_error(error: BaseException) -> str:
    """Return the cause that an exception, or one it came from, tells; at most 200 characters."""
    text = " ".join(_told(error))
    if match := _STATUS.search(text):
        status = int(match[1])
        said = "" if status in _ADVICE else f": {match[2][:_QUOTED]}"
        return of_status(status) + said
    lowered = text.casefold()
    known = next((words for mark, words in _MARKS if mark in lowered), "")
    return known or (str(error) or type(error).__name__)[:_QUOTED]


def _told(error: BaseException) -> list[str]:
    """Return what an exception says, and what those say that led to it."""
    said, seen = [], set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        said.append(str(one))
        one = one.__cause__ or one.__context__
    return said
