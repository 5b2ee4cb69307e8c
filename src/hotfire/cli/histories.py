"""The histories of a run at its end: JSON lines while it goes on, since a crash spares them."""

from hotfire.errors import HistoryError
from hotfire.measure.history import to_parquet
from hotfire.rundir import RunDirectory


def pack_histories(run: RunDirectory) -> list[str]:
    """Put a Parquet file beside each history, a seventh of its size; return what went wrong."""
    problems = []
    for history in sorted(run.path("history").glob("*.jsonl")):
        try:
            to_parquet(history, history.with_suffix(".parquet"))
        except HistoryError as error:
            problems.append(f"{history.name} was not packed: {error}")
    return problems
