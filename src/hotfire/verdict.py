"""Verdicts, their order of weight, and how several become one. Pure."""

from collections.abc import Iterable
from enum import StrEnum

from hotfire.requirement import Level


class Verdict(StrEnum):
    """The outcome of a case, from least to most significant."""

    NOT_APPLICABLE = "not-applicable"
    PASSED = "passed"
    INCONCLUSIVE = "inconclusive"
    FAILED = "failed"

    @property
    def weight(self) -> int:
        """Position in the order of significance; a larger weight decides a merge."""
        return _SIGNIFICANCE.index(self)


_SIGNIFICANCE = list(Verdict)


class Conformance(StrEnum):
    """The statement over a whole run."""

    CONFORMANT = "conformant"
    NONCONFORMANT = "nonconformant"
    INCONCLUSIVE = "inconclusive"


EXIT_CODES = {
    Conformance.CONFORMANT: 0,
    Conformance.NONCONFORMANT: 1,
    Conformance.INCONCLUSIVE: 2,
}


def merge(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the most significant verdict; no verdict at all proves nothing."""
    return max(verdicts, key=_SIGNIFICANCE.index, default=Verdict.INCONCLUSIVE)


def conformance(results: Iterable[tuple[Level, Verdict, bool]]) -> Conformance:
    """Return the statement over (level, verdict, skipped by the operator) of every result.

    Only MUSTs decide. A run in which no MUST passed proves nothing, so it is inconclusive.
    """
    musts = [(verdict, skipped) for level, verdict, skipped in results if level is Level.MUST]
    if any(verdict is Verdict.FAILED for verdict, _ in musts):
        return Conformance.NONCONFORMANT
    if any(verdict is Verdict.INCONCLUSIVE or skipped for verdict, skipped in musts):
        return Conformance.INCONCLUSIVE
    if not any(verdict is Verdict.PASSED for verdict, _ in musts):
        return Conformance.INCONCLUSIVE
    return Conformance.CONFORMANT
