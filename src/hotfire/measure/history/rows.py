"""One row of a history: a request as a JSON object, and back with every doubt raised."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from hotfire.errors import HistoryError
from hotfire.measure.history.request import FailureClass, Request

NAMES: Final = tuple(field.name for field in fields(Request))
_KNOWN: Final = frozenset(NAMES)
_LARGEST: Final = 1 << 63
_KINDS: Final = tuple(
    (field.name, kind)
    for field in fields(Request)
    for kind in (int, str, bool)
    if field.type in (kind, kind | None)
)


def to_row(request: Request) -> dict[str, Any]:
    """Return the JSON object of one row."""
    row = {name: getattr(request, name) for name in NAMES}
    row["gaps_us"] = list(request.gaps_us)
    return row


def from_row(row: Mapping[str, Any]) -> Request:
    """Return the request of one row.

    Raises:
        HistoryError: a field is missing or unknown, or the stamps contradict each other.
    """
    if not isinstance(row, Mapping):
        raise HistoryError(f"a history row is no object but {type(row).__name__}")
    if unknown := row.keys() - _KNOWN:
        raise HistoryError(
            f"a history row has fields this version does not know: {sorted(unknown)}"
        )
    values = dict(row)
    for name, kind in _KINDS:
        value = values.get(name)
        if value is not None and type(value) is not kind:
            raise HistoryError(f"a history row is not valid: {name} is no {kind.__name__}")
        if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
            raise HistoryError(f"a history row is not valid: {name} is beyond 64 bits")
    try:
        if values.get("error_class") is not None:
            values["error_class"] = FailureClass(values["error_class"])
        values["gaps_us"] = values.get("gaps_us") or ()
        request = Request(**values)
    except (TypeError, ValueError) as error:
        raise HistoryError(f"a history row is not valid: {error}") from error
    return checked(request)


def checked(request: Request) -> Request:
    """Return the request if its stamps are in order.

    The scheduled time may lie after the sending by up to 1 ms: timers fire early by rounding.

    Raises:
        HistoryError: a stamp precedes the one before it.
    """
    if request.send_ns is not None and request.send_ns < request.sched_ns - 1_000_000:
        raise HistoryError(f"request {request.seq}: sent before it was scheduled")
    earlier, start = "", 0
    for later in _ORDER:
        end = getattr(request, later)
        if end is None:
            continue
        if end < start:
            raise HistoryError(f"request {request.seq}: {later} precedes {earlier}")
        earlier, start = later, end
    return request


_ORDER: Final = ("send_ns", "headers_ns", "first_ns", "last_ns", "end_ns")
