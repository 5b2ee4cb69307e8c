"""Rows of a history as Parquet, a fifth of their size: some thousand at a time, either way.

The only importer of pyarrow. It knows columns; what a row means is ``history``'s matter.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hotfire.errors import HistoryError

# Of a hundred tokens each; more take memory and make the file no smaller.
_ROWS_AT_ONCE: Final = 2048
_PART_BYTES: Final = 1 << 30
"""Of one part unpacked: a part is read at once, and a file may unpack to anything."""
_GAPS: Final = "gaps_us"
_TYPES: Final = {
    pa.int32(): ("n_in", "n_out", "n_first", "status", "worker"),
    pa.string(): (
        *("token_source", "finish_reason", "error_class", "detail", "deviation", "served_by"),
        *("phase", "tenant"),
    ),
    pa.bool_(): ("conn_reused", "censored"),
    pa.list_(pa.int32()): (_GAPS,),
}


def write(path: Path, rows: Iterable[object], names: Sequence[str]) -> int:
    """Write the named attributes of each row; return the number of rows.

    Raises:
        HistoryError: the file cannot be written.
    """
    kinds = {name: kind for kind, group in _TYPES.items() for name in group}
    schema = pa.schema([(name, kinds.get(name, pa.int64())) for name in names])
    left, count = iter(rows), 0
    try:
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            while some := list(islice(left, _ROWS_AT_ONCE)):
                writer.write_batch(_batch(some, schema))
                count += len(some)
    except (OSError, pa.ArrowException) as error:
        raise HistoryError(f"{path}: cannot be written: {error}") from error
    return count


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield one mapping per row.

    Raises:
        HistoryError: the file is not Parquet, or cannot be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                yield from _rows(batch)
    except (OSError, pa.ArrowException) as error:
        raise HistoryError(f"{path}: cannot be read: {error}") from error


def is_whole(path: Path) -> bool:
    """Return whether the file has its end, without which nothing of it can be read."""
    try:
        with pq.ParquetFile(path) as file:
            parts = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
            return all(part.total_byte_size <= _PART_BYTES for part in parts)
    except (OSError, pa.ArrowException):
        return False


def _batch(rows: Sequence[Any], schema: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    columns = [
        _lists([row.gaps_us for row in rows])
        if field.name == _GAPS
        else pa.array([getattr(row, field.name) for row in rows], field.type)
        for field in schema
    ]
    return pa.record_batch(columns, schema=schema)


def _lists(gaps: Sequence[Sequence[int]]) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return many short arrays as one column, without making an object of each number."""
    lengths = np.fromiter(map(len, gaps), np.int32, len(gaps))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    if all(isinstance(each, array) for each in gaps):
        values = np.frombuffer(b"".join(gaps), np.int32)  # type: ignore[arg-type]
    else:
        values = np.fromiter(chain.from_iterable(gaps), np.int32, int(offsets[-1]))
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def _rows(batch: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - pyarrow has no types
    names = [name for name in batch.schema.names if name != _GAPS]
    columns: list[Any] = [batch.column(name).to_pylist() for name in names]
    if _GAPS in batch.schema.names:
        columns.append(_arrays(batch.column(_GAPS)))
        names.append(_GAPS)
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _arrays(column: Any) -> Iterator["array[int]"]:  # noqa: ANN401 - pyarrow has no types
    values = column.values.to_numpy()
    offsets = column.offsets.to_pylist()
    for start, end in pairwise(offsets):
        yield array("i", values[start:end].tobytes())
