"""Server-sent events: bytes in, events out, whatever the packets were."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    """One dispatched event; ``name`` is ``message`` unless an ``event:`` line said otherwise."""

    data: str
    name: str = "message"
    id: str = ""


class Parser:
    """An incremental parser of one event stream.

    Lines end with LF, CRLF or CR, also across packets; comments are skipped; an event without
    data, or without its closing blank line, is not dispatched. Source: the HTML standard,
    section 9.2.6 "Interpreting an event stream".
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._at_start = True
        self._data: list[str] = []
        self._name = ""
        self._id = ""

    @property
    def pending(self) -> bool:
        """Whether bytes were fed that no dispatched event accounts for."""
        return bool(self._buffer.strip() or self._data)

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Return the events that this chunk completes."""
        self._buffer += chunk
        if self._at_start and not self._skip_byte_order_mark():
            return []
        # A CR at the very end may be the first half of a CRLF: it waits for the next chunk.
        held = b"\r" if self._buffer.endswith(b"\r") else b""
        text = self._buffer.removesuffix(b"\r") if held else self._buffer
        *lines, rest = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._buffer = rest + held
        return [event for line in lines if (event := self._line(line))]

    def _skip_byte_order_mark(self) -> bool:
        mark = b"\xef\xbb\xbf"
        if len(self._buffer) < len(mark) and mark.startswith(self._buffer):
            return False
        self._buffer = self._buffer.removeprefix(mark)
        self._at_start = False
        return True

    def _line(self, raw: bytes) -> ServerEvent | None:
        line = raw.decode("utf-8", errors="replace")
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "data":
                self._data.append(value)
            case "event":
                self._name = value
            case "id" if "\0" not in value:
                self._id = value
        return None

    def _dispatch(self) -> ServerEvent | None:
        data, name = self._data, self._name or "message"
        self._data, self._name = [], ""
        return ServerEvent(data="\n".join(data), name=name, id=self._id) if data else None


def parse(body: bytes) -> list[ServerEvent]:
    """Return the events of a whole body."""
    return Parser().feed(body)
