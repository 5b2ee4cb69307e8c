"""Taking down in steps: each is done whatever becomes of the others, and what failed is told."""

from types import TracebackType
from typing import Self

from hotfire.errors import HarnessError


class Closing:
    """Steps of a cleanup, as blocks of their own within one around them all.

    ``with Closing() as closing: with closing.step("the load ended"): load.stop()``
    """

    def __init__(self) -> None:
        self._problems: list[str] = []

    @property
    def sound(self) -> bool:
        """Whether every step so far was done, for one that must not go before."""
        return not self._problems

    def step(self, what: str) -> "_Step":
        """Return a block whose exception is kept for the end."""
        return _Step(self._problems, what)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Tell of all steps that were not done.

        Raises:
            HarnessError: one was not; an exception that is on its way already goes first.
        """
        if error is None and self._problems:
            raise HarnessError("; ".join(self._problems))


class _Step:
    def __init__(self, problems: list[str], what: str) -> None:
        self._problems = problems
        self._what = what

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        # Ctrl-C and the like end the whole; any mishap of one step only that step.
        if not isinstance(error, Exception):
            return False
        self._problems.append(f"not done: {self._what}: {str(error) or type(error).__name__}")
        return True
