"""How the files that people give us are read: one encoding, one idea of a line.

UTF-8, with or without a byte order mark. A line ends at a line feed, or at a carriage return and
one; nothing else ends it, since U+2028, U+0085 and form feeds are characters of a text.
"""

import codecs
from collections.abc import Iterator
from pathlib import Path

_OTHER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read(path: Path) -> str:
    """Return a file's text without its byte order mark.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not UTF-8; the message says what to do.
    """
    return decoded(path.read_bytes())


def decoded(data: bytes) -> str:
    """Return the text that some bytes are, without their byte order mark.

    Raises:
        ValueError: they are not UTF-8; the message says what to do.
    """
    if data.startswith(_OTHER_MARKS) or b"\0" in data:
        raise ValueError("it looks like UTF-16 or binary; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"line {line} is not UTF-8 (byte 0x{data[error.start]:02x}); save it as UTF-8"
        ) from error


def lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is not blank; the first is 1."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.removesuffix("\r")
