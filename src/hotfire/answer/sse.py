"""Server-sent events: bytes in, events out, whatever the packets were."""

from dataclasses import dataclass

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
DATA, END = b"data: ", b"\n\n"


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
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._at_start = True
        self._data: list[str] = []
        self._data_bytes = 0
        self._name = ""
        self._id = ""

    @property
    def pending(self) -> bool:
        """Whether bytes were fed that no dispatched event accounts for."""
        return bool(self._data) or any(part.strip() for part in self._held)

    @property
    def fresh(self) -> bool:
        """Whether the next byte begins an event, so that nothing read before matters to it."""
        return not (self._held or self._data or self._name)

    @property
    def held_bytes(self) -> int:
        """Size of the unfinished event: what a peer can make us keep."""
        return self._held_bytes + self._data_bytes

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Return the events that this chunk completes."""
        if self.fresh and not self._at_start and _is_one(chunk):
            line = chunk[len(DATA) : -len(END)].decode("utf-8", errors="replace")
            return [ServerEvent(data=line, id=self._id)]
        open_end = bool(self._held) and self._held[-1].endswith(b"\r")
        self._held.append(chunk)
        self._held_bytes += len(chunk)
        if not (self._at_start or open_end or b"\n" in chunk or b"\r" in chunk):
            return []
        text = b"".join(self._held)
        if self._at_start:
            if len(text) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(text):
                return []
            text = text.removeprefix(BYTE_ORDER_MARK)
            self._at_start = False
        # A CR at the very end may be the first half of a CRLF: it waits for the next chunk.
        held = b"\r" if text.endswith(b"\r") else b""
        return self._lines(text.removesuffix(held), held)

    def end(self) -> list[ServerEvent]:
        """Return the event that a last CR completes, since no LF follows it any more."""
        if self._held and self._held[-1].endswith(b"\r"):
            return self._lines(b"".join(self._held), b"")
        return []

    def _lines(self, text: bytes, held: bytes) -> list[ServerEvent]:
        *lines, rest = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        rest += held
        self._held = [rest] if rest else []
        self._held_bytes = len(rest)
        return [event for line in lines if (event := self._line(line))]

    def _line(self, raw: bytes) -> ServerEvent | None:
        line = raw.decode("utf-8", errors="replace")
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "data":
                self._data.append(value)
                self._data_bytes += len(raw)
            case "event":
                self._name = value
            case "id" if "\0" not in value:
                self._id = value
        return None

    def _dispatch(self) -> ServerEvent | None:
        data, name = self._data, self._name or "message"
        self._data, self._name, self._data_bytes = [], "", 0
        return ServerEvent(data="\n".join(data), name=name, id=self._id) if data else None


def _is_one(chunk: bytes) -> bool:
    """Return whether this is one whole event of one line, as most are."""
    return (
        chunk.startswith(DATA)
        and chunk.find(b"\n") == len(chunk) - len(END)
        and chunk.endswith(END)
        and b"\r" not in chunk
    )


def parse(body: bytes) -> list[ServerEvent]:
    """Return the events of a whole body."""
    return Parser().feed(body)
