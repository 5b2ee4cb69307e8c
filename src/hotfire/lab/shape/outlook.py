"""How far a course of parts is, and how long the rest may take.

From times known beforehand, scaled by the pace of the parts that are done. Pure but for its clock.
"""

from collections.abc import Callable, Mapping


class Outlook:
    """One course: parts by name, each with the seconds it took where it was measured."""

    def __init__(self, known_seconds: Mapping[str, float], clock: Callable[[], float]) -> None:
        self._known = dict(known_seconds)
        self._clock = clock
        self._began: dict[str, float] = {}
        self._took: dict[str, float] = {}

    def begin(self, name: str) -> None:
        self._began[name] = self._clock()

    def end(self, name: str) -> None:
        self._took[name] = self._clock() - self._began[name]

    def words(self) -> str:
        """Return such as "part 2 of 8, about 9 min left"."""
        return f"part {max(1, len(self._began))} of {len(self._known)}, {_about(self.left())} left"

    def left(self) -> float:
        """Return how many seconds the rest may take.

        A part that takes longer than it should is about to end: it counts for nothing more.
        """
        pace = self._pace()
        rest = 0.0
        for name, known in self._known.items():
            if name not in self._took:
                spent = self._clock() - self._began[name] if name in self._began else 0.0
                rest += max(0.0, known * pace - spent)
        return rest

    def _pace(self) -> float:
        """Return how much longer the parts take here than they did where they were measured."""
        known = sum(self._known[name] for name in self._took if name in self._known)
        return sum(self._took.values()) / known if known else 1.0


def _about(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {seconds:.0f} s"
