"""Whether an answer's tokens came as they were made: the arrival pattern of its chunks. Pure.

A proxy that buffers releases many chunks together. What lies between tokens of one release was not
seen by anybody: neither TPOT nor a pause can be told from it.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

TOGETHER_US: Final = 250
"""Chunks with a shorter pause came together. No engine makes 4,000 chunks a second for one user: a
step of a small model on a GPU takes 2 ms or more, the fastest services (wafer-scale, one stream)
tell 3,000 tokens a second. A buffer is emptied at the speed of memory or of the link, some ten
microseconds a chunk on a machine or a fast network."""
CHUNKS_A_STEP: Final = 8
"""Chunks that one step of an engine may write together: with speculative decoding some write one
per accepted token. The least buffer in use (4 KB, nginx) holds 16 chunks of 250 bytes."""
OBSERVED_RATIO: Final = 0.95
"""Share of the streams that must have come as they were made: beyond it, a p95 can be judged."""


class Streamed(StrEnum):
    """How the tokens of an answer, or of a load, came."""

    YES = "yes"
    BURSTS = "bursts"
    """In several releases of many chunks each."""
    NO = "no"
    """All at once, or in a body that is no stream."""


def at_once(chunks: int, span_ns: int) -> bool:
    """Return whether that many chunks within that time are one release: by the mean pause."""
    return chunks < 2 or span_ns <= 1000 * TOGETHER_US * (chunks - 1)


def pattern(gaps_us: Sequence[int], span_ns: int, tokens: int | None) -> Streamed | None:
    """Return how a stream came, by the pauses between its chunks; None: nothing tells.

    Nothing tells of one token, or of one chunk with no more tokens than one step may make. Limits:
    buffers of at most ``CHUNKS_A_STEP`` chunks look like speculative decoding; TPOT is then exact
    to the size of a release. A buffer that is emptied through a link so slow that its chunks are
    apart by more than ``TOGETHER_US`` looks like a fast engine. A stall of the network, which
    holds back a part of a stream, is no buffer, as long as the rest came as it was made.
    """
    # Without pauses, a history of another origin, the tokens are all there is to count by.
    chunks = len(gaps_us) + 1 if gaps_us else (tokens or 1 if span_ns else 1)
    if chunks == 1:
        return Streamed.NO if (tokens or 1) > CHUNKS_A_STEP else None
    if at_once(chunks, span_ns):
        return Streamed.NO
    if len(gaps_us) < CHUNKS_A_STEP:
        return Streamed.YES
    # Not at the top: the load process reads this module too and has no use for numpy.
    import numpy as np  # noqa: PLC0415

    releases = 1 + int(np.count_nonzero(np.asarray(gaps_us, np.int32) > TOGETHER_US))
    return Streamed.BURSTS if chunks > CHUNKS_A_STEP * releases else Streamed.YES


def overall(yes: int, bursts: int, no: int) -> Streamed | None:
    """Return how the streams of a load came, taken together; None of none."""
    if not yes + bursts + no:
        return None
    if yes >= OBSERVED_RATIO * (yes + bursts + no):
        return Streamed.YES
    return Streamed.BURSTS if bursts > no else Streamed.NO
