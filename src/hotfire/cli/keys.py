"""Single keys of a terminal, read while something else goes on."""

import os
import select
import sys
import termios
import tty
from types import TracebackType
from typing import Any, Self

_MOST_BYTES = 64


class Keys:
    """The keys pressed since they were asked for last; none where there is no terminal."""

    def __init__(self) -> None:
        self._handle = _stdin()
        self._former: list[Any] | None = None

    @property
    def there(self) -> bool:
        """Whether anybody could press one."""
        return self._former is not None

    def __enter__(self) -> Self:
        if self._handle is not None and os.isatty(self._handle):
            self._former = termios.tcgetattr(self._handle)
            # Ctrl-C stays a signal.
            tty.setcbreak(self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handle is not None and self._former is not None:
            termios.tcsetattr(self._handle, termios.TCSADRAIN, self._former)

    def pressed(self) -> str:
        """Return them, in their order."""
        if self._handle is None or not self.there:
            return ""
        if not select.select([self._handle], [], [], 0)[0]:
            return ""
        return os.read(self._handle, _MOST_BYTES).decode(errors="replace")


def _stdin() -> int | None:
    """Return what programs hear the keys on; None where it was closed, or is no file."""
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        return None
