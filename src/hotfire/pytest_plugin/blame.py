"""Whose trouble an exception is: the case's, or the run's, whose fixtures outlive every case."""

from collections.abc import Iterator
from types import CodeType

import pytest

from hotfire.errors import TargetNotReady
from hotfire.pytest_plugin.case import one_line
from hotfire.rundir import Result

_WIDE = {"session", "package"}


BLAME: "pytest.StashKey[Blame]" = pytest.StashKey()


class Blame:
    """Knows the fixtures of the whole run by their code, which the tracebacks of theirs pass."""

    def __init__(self) -> None:
        self._names: dict[CodeType, str] = {}

    def note(self, definition: pytest.FixtureDef[object]) -> None:
        """Remember a fixture that is about to be set up."""
        code = getattr(definition.func, "__code__", None)
        if definition.scope in _WIDE and isinstance(code, CodeType):
            self._names[code] = definition.argname

    def split(
        self, error: BaseException | None
    ) -> tuple[BaseException | None, list[tuple[str, BaseException]]]:
        """Return what is the case's, and what is the run's with the fixture that raised it.

        A skip, and that the target was awaited in vain, are a case's, whichever fixture said so.
        """
        own: BaseException | None = None
        of_run = []
        for one in _leaves(error):
            is_own = isinstance(one, TargetNotReady | pytest.skip.Exception)
            name = None if is_own else self._fixture(one)
            if name is None:
                own = own or one
            else:
                of_run.append((name, one))
        return own, of_run

    def troubles(self, error: BaseException | None, phase: str) -> list[Result]:
        """Return the lines of the run's part in an exception; ``phase`` is when it happened."""
        return [
            Result.of_run(f"{phase} of {name}", said(one)) for name, one in self.split(error)[1]
        ]

    def _fixture(self, error: BaseException) -> str | None:
        trace, found = error.__traceback__, None
        while trace is not None:
            found = found or self._names.get(trace.tb_frame.f_code)
            trace = trace.tb_next
        return found


def said(error: BaseException) -> str:
    """Return an exception in one line: its class and the first line of what it says."""
    return f"{type(error).__name__}: {one_line(error)}"


def _leaves(error: BaseException | None) -> Iterator[BaseException]:
    """Yield every exception of a group, whatever groups lie between."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    elif error is not None:
        yield error
