"""The recorded history of a load: one row per scheduled request, and how to read it back."""

from hotfire.measure.history.files import (
    count,
    in_order,
    is_whole,
    load,
    once,
    parse_lines,
    stream,
    to_parquet,
)
from hotfire.measure.history.request import (
    CONTRADICTED,
    USAGE_DOUBTS,
    Deviation,
    FailureClass,
    Request,
)
from hotfire.measure.history.rows import (
    checked,
    from_row,
    to_row,
)

__all__ = [
    "CONTRADICTED",
    "USAGE_DOUBTS",
    "Deviation",
    "FailureClass",
    "Request",
    "checked",
    "count",
    "from_row",
    "in_order",
    "is_whole",
    "load",
    "once",
    "parse_lines",
    "stream",
    "to_parquet",
    "to_row",
]
