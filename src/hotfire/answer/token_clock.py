"""Counts tokens and times of an ended answer, and tells where the target's own word contradicts.

Pure. Count and clock must speak of the same tokens: ``usage`` counts the end token, which may come
in the finish chunk, and hidden reasoning, which never comes.
"""

from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from hotfire.answer.gaps import pause_us
from hotfire.answer.transcript import DETAIL_LIMIT, Transcript
from hotfire.measure.history import Deviation
from hotfire.measure.streamed import at_once


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an answer is held against."""

    models: Collection[str]
    """Names under which the model asked for may answer; empty: not known."""
    max_tokens: int | None
    """Output tokens asked for, of each choice; None: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocked:
    """The times of the chunks that hold tokens, and what TPOT counts. Stamps are monotonic."""

    first_ns: int | None
    first_output_ns: int | None
    last_ns: int | None
    gaps_us: "array[int]"
    n_first: int
    """Counted tokens that the time from first to last does not cover; see ``Request.n_first``."""


def clocked(said: Transcript) -> Clocked:
    """Return the times of an answer's tokens, corrected by what ``usage`` counted.

    - Empty chunks are tokens without text (special ones), unless there are more chunks than counted
      tokens: then they are heartbeats, and those at the start and the end are left out.
    - A finish chunk without text holds the end token if as many tokens more were counted than came
      in other chunks as there are such chunks (vLLM, SGLang; OpenAI and Ollama do not count it).
      Where a chunk holds several tokens that cannot be told, and an error of one token remains.
    - Reasoning tokens that were counted, none of which was streamed, came before the first chunk.
    - What came at once is not covered by any time.
    - Of several choices, which are made side by side, TPOT is the mean one's.
    """
    us, n = said.gaps.us(), said.n_out
    if said.first_ns is None or said.last_ns is None or n is None:
        return Clocked(
            first_ns=said.first_ns,
            first_output_ns=said.first_output_ns,
            last_ns=said.last_ns,
            gaps_us=us,
            n_first=said.n_first,
        )
    chunks, counted = len(us) + 1, n - _hidden(said)
    lead, trail = (0, 0) if said.tools else _heartbeats(said, chunks - counted)
    first_ns = said.first_ns + 1000 * sum(us[:lead])
    last_ns = said.last_ns - 1000 * sum(us[len(us) - trail :])
    us = us[lead : len(us) - trail] if lead or trail else us
    if counted - chunks == said.finishes > 0 and said.finish_ns is not None:
        us = us + array("i", [pause_us(last_ns, said.finish_ns)])
        last_ns = max(last_ns, said.finish_ns)
    return Clocked(
        first_ns=min(first_ns, last_ns),
        first_output_ns=_first_output(said, first_ns) if lead else said.first_output_ns,
        last_ns=last_ns,
        gaps_us=us,
        n_first=_uncovered(said, counted, together=at_once(len(us) + 1, last_ns - first_ns)),
    )


def _hidden(said: Transcript) -> int:
    """Return the reasoning tokens that were counted and not streamed."""
    return 0 if said.thought else said.n_reasoning


def _heartbeats(said: Transcript, surplus: int) -> tuple[int, int]:
    """Return how many empty chunks at the start and at the end are no tokens."""
    if surplus <= 0 or not said.empty_at:
        return 0, 0
    places, last = said.empty_at, len(said.gaps)
    lead = next((n for n, at in enumerate(places) if at != n), len(places))
    lead = min(lead, surplus, last)
    trail = next((n for n, at in enumerate(reversed(places)) if at != last - n), len(places) - lead)
    return lead, min(trail, surplus - lead, last - lead)


def _first_output(said: Transcript, first_ns: int) -> int | None:
    """Return the first chunk that is not reasoning, where the first ones were no tokens."""
    if said.first_output_ns is None or said.first_output_ns >= first_ns:
        return said.first_output_ns
    return first_ns if said.first_text_ns is None else max(first_ns, said.first_text_ns)


def _uncovered(said: Transcript, counted: int, *, together: bool) -> int:
    """Return how many of the counted tokens the time from first to last does not cover."""
    n, choices = said.n_out or 0, len(said.choices)
    if together:
        return max(1, n)
    if choices > 1:
        return max(1, n - max(0, counted // choices - 1))
    return max(said.n_first, n - counted + 1)


def deviations(said: Transcript, asked: Asked) -> Iterator[tuple[Deviation, str]]:
    """Yield where the target's word contradicts what was streamed or asked for."""
    text = 0 if said.last_ns is None else len(said.gaps) + 1 - len(said.empty_at)
    counted = None if said.n_out is None else said.n_out - _hidden(said)
    choices = max(1, len(said.choices))
    if counted is not None and counted < (min(text, 1) if said.tools else text):
        words = f"usage counts {counted} tokens of text, {text} chunks of it came"
        yield Deviation.USAGE_BELOW_STREAM, words
    if counted is not None and asked.max_tokens is not None:
        most = choices * asked.max_tokens
        if counted > most:
            yield Deviation.USAGE_ABOVE_LIMIT, f"usage counts {counted} tokens of at most {most}"
    others = sorted(said.models.difference(asked.models)) if asked.models else []
    if others:
        expected = sorted(asked.models)[0]
        yield Deviation.OTHER_MODEL, f"{others[0]} answered, asked was {expected}"[:DETAIL_LIMIT]
