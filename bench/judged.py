"""What the instrument must reach: a measured value, its limit, and whether it is met."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One line of what must be reached."""

    what: str
    measured: float
    limit: float
    unit: str = ""
    at_least: bool = False
    """The limit is a lower bound."""
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether it is reached; a value that is not a number is not."""
        if self.at_least:
            return self.measured >= self.limit
        return self.measured <= self.limit

    def cells(self) -> list[str]:
        """Return this as a row of the table."""
        bound = f"{'at least' if self.at_least else 'at most'} {figure(self.limit)} {self.unit}"
        what = f"{self.what} ({self.note})" if self.note else self.what
        word = "met" if self.met else "MISSED"
        return [what, f"{figure(self.measured)} {self.unit}".strip(), bound.strip(), word]


def figure(value: float) -> str:
    """Return a count in full, and anything else to three digits."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}"


def told(lines: Sequence[Judged]) -> str:
    """Return what was judged as a table, and the verdict."""
    missed = sum(not line.met for line in lines)
    rows = [line.cells() for line in lines]
    verdict = f"{missed} of {len(lines)} MISSED" if missed else f"all {len(lines)} met"
    return f"{table(('must reach', 'measured', 'limit', ''), rows)}\n\n{verdict}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under the columns' names, aligned, as Markdown."""
    widths = [max(map(len, words)) for words in zip(columns, *rows, strict=True)]
    lines = [columns, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)) + " |"
        for row in lines
    )
