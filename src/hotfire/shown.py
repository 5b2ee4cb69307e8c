"""Makes other people's text safe to show: whatever a reader would not see becomes an escape.

A target may say anything: sequences that colour, move or erase what a terminal shows, that write
its clipboard, or that turn the direction of a line so that it reads as another.
"""

import re

# Whatever is not plainly ASCII is looked at; most texts have none of it and cost one search.
_DOUBTFUL = re.compile(r"[^ -~]+")
_LARGEST_UNIT = 0xFFFF


def shown(text: str, *, keep: str = "") -> str:
    r"""Return the text with an escape, as JSON has it, for each character that is not seen.

    Controls of any set, marks of direction, separators of lines, what is unassigned and half
    surrogate pairs become ``\u001b``, ``\u202e`` and so on; the characters in ``keep``, such as a
    newline where lines are meant, stay. JSON stays the same JSON.
    """
    return _DOUBTFUL.sub(lambda found: "".join(_seen(c, keep) for c in found[0]), text)


def one_line(text: str) -> str:
    """Return the text on one line, each run of spaces and line ends as one space."""
    return shown(" ".join(text.split()))


def _seen(character: str, keep: str) -> str:
    if character.isprintable() or character in keep:
        return character
    if ord(character) <= _LARGEST_UNIT:
        return f"\\u{ord(character):04x}"
    pair = character.encode("utf-16-be").hex()
    return f"\\u{pair[:4]}\\u{pair[4:]}"
