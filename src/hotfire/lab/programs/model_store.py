"""Serves model files with checksums, ETags and ranges: a program of the store machine.

``python model_store.py ADDRESS PORT DIRECTORY MODE_FILE``; each folder of DIRECTORY is a model.
Never imported by the tool. Standard library only.

    /models/                      the models' names
    /models/NAME/manifest.json    path, size and SHA-256 of each file
    /models/NAME/PATH             a file; HEAD, Range, If-Range and If-None-Match as in RFC 9110
    /health, /metrics             for probes and Prometheus

MODE_FILE breaks the store on purpose and is read at each request: ``slow BYTES_PER_SECOND``, or
``corrupt``, which flips one byte of each file and leaves the checksums as they were.
"""

import collections
import hashlib
import http.server
import json
import re
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

CHUNK_BYTES = 65536
CHUNKS_PER_SLOW_SECOND = 10


@dataclass(frozen=True)
class Content:
    """Bytes to serve: a file of a model, or a text made here."""

    etag: str
    size: int
    text: bytes | None = None
    path: Path | None = None
    kind: str = "application/octet-stream"

    def chunk(self, start: int, length: int) -> bytes:
        if self.path is None:
            return (self.text or b"")[start : start + length]
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(length)


@dataclass(frozen=True)
class Mode:
    """How the store misbehaves just now."""

    bytes_per_second: float | None = None
    corrupt: bool = False


def read_mode(path: Path) -> Mode:
    """Return what the mode file says; no file or an empty one is a sound store.

    Raises:
        ValueError: it says something else.
    """
    try:
        words = path.read_text().split()
    except FileNotFoundError:
        return Mode()
    match words:
        case []:
            return Mode()
        case ["corrupt"]:
            return Mode(corrupt=True)
        case ["slow", rate] if float(rate) > 0:
            return Mode(bytes_per_second=float(rate))
    raise ValueError(f"{path}: expected `slow BYTES_PER_SECOND` or `corrupt`, found {words}")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def made(document: object) -> Content:
    """Return a JSON document to serve."""
    text = json.dumps(document, indent=1).encode() + b"\n"
    etag = hashlib.sha256(text).hexdigest()
    return Content(etag=etag, size=len(text), text=text, kind="application/json")


def catalogue(directory: Path) -> dict[str, Content]:
    """Return everything below /models/ by its path; checksums are those of the start."""
    models = sorted(path.name for path in directory.iterdir() if path.is_dir())
    found = {"/models/": made(models)}
    for model in models:
        root, rows = directory / model, []
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            name, digest = path.relative_to(root).as_posix(), sha256(path)
            content = Content(etag=digest, size=path.stat().st_size, path=path)
            found[f"/models/{model}/{name}"] = content
            rows.append({"path": name, "size_bytes": content.size, "sha256": digest})
        found[f"/models/{model}/manifest.json"] = made({"model": model, "files": rows})
    return found


def requested_range(header: str, size: int) -> range | None:
    """Return the bytes a Range header asks for; empty: there are none; None: all, no one range."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip())
    if match is None or match.group() == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    return range(int(first), min(size, int(last) + 1) if last else size)


class Store:
    """What is served, how it misbehaves and what was counted."""

    def __init__(self, directory: Path, mode_file: Path) -> None:
        self.contents = catalogue(directory)
        self.mode_file = mode_file
        self.requests: collections.Counter[int] = collections.Counter({200: 0})
        self.sent_bytes = 0
        self._lock = threading.Lock()

    def count(self, *, status: int = 0, sent_bytes: int = 0) -> None:
        with self._lock:
            self.sent_bytes += sent_bytes
            if status:
                self.requests[status] += 1

    def metrics(self) -> str:
        lines = ["# TYPE model_store_requests_total counter"]
        lines += [
            f'model_store_requests_total{{code="{code}"}} {count}'
            for code, count in sorted(self.requests.items())
        ]
        lines += ["# TYPE model_store_sent_bytes_total counter"]
        lines += [f"model_store_sent_bytes_total {self.sent_bytes}"]
        lines += ["# TYPE model_store_files gauge", f"model_store_files {len(self.contents)}"]
        return "\n".join(lines) + "\n"

    def pieces(self, content: Content, wanted: range, mode: Mode) -> Iterator[bytes]:
        """Yield the wanted bytes, broken and paced as the mode says."""
        step, rate = CHUNK_BYTES, mode.bytes_per_second
        if rate:
            step = min(step, max(1, int(rate / CHUNKS_PER_SLOW_SECOND)))
        bad = content.size // 2 if mode.corrupt and content.path else -1
        began = time.monotonic()
        for start in range(wanted.start, wanted.stop, step):
            if rate:
                due = began + (start - wanted.start) / rate
                # This program runs in a bare machine, without hotfire.waiting.
                time.sleep(max(0.0, due - time.monotonic()))  # noqa: TID251
            piece = bytearray(content.chunk(start, min(step, wanted.stop - start)))
            if start <= bad < start + len(piece):
                piece[bad - start] ^= 0xFF
            yield bytes(piece)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"
    store: Store

    def do_GET(self) -> None:
        if self.path in {"/health", "/metrics"}:
            text = "ok\n" if self.path == "/health" else self.store.metrics()
            self.answer(HTTPStatus.OK, text.encode(), "text/plain; version=0.0.4")
            return
        content = self.store.contents.get(urllib.parse.unquote(self.path))
        try:
            mode = read_mode(self.store.mode_file)
        except ValueError as error:
            self.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            return
        if content is None:
            self.refuse(HTTPStatus.NOT_FOUND, f"no {self.path}; /models/ lists the models")
        elif self.headers.get("If-None-Match") == f'"{content.etag}"':
            self.refuse(HTTPStatus.NOT_MODIFIED, "")
        else:
            self.serve(content, mode)

    do_HEAD = do_GET  # noqa: N815 - the base class's name

    def serve(self, content: Content, mode: Mode) -> None:
        wanted = self.wanted(content)
        if wanted is not None and not wanted:
            self.refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"{content.size} bytes here")
            return
        status = HTTPStatus.OK if wanted is None else HTTPStatus.PARTIAL_CONTENT
        part = range(content.size) if wanted is None else wanted
        self.send_response(status)
        if wanted is not None:
            self.send_header("Content-Range", f"bytes {part.start}-{part.stop - 1}/{content.size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{content.etag}"')
        self.send_header("Content-Type", content.kind)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.store.count(status=status)
        if self.command == "HEAD":
            return
        for piece in self.store.pieces(content, part, mode):
            self.wfile.write(piece)
            self.store.count(sent_bytes=len(piece))

    def wanted(self, content: Content) -> range | None:
        """Return the range asked for; None for all of it."""
        condition = self.headers.get("If-Range")
        if condition not in {None, f'"{content.etag}"'}:
            return None
        return requested_range(self.headers.get("Range", ""), content.size)

    def refuse(self, status: HTTPStatus, why: str) -> None:
        self.store.count(status=status)
        self.answer(status, f"{why}\n".encode() if why else b"", "text/plain")

    def answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log what concerns models, not the probes."""
        if self.path.startswith("/models/"):
            super().log_request(code, size)


def main() -> None:
    address, port, directory, mode_file = sys.argv[1:]
    Handler.store = Store(Path(directory), Path(mode_file))
    server = http.server.ThreadingHTTPServer((address, int(port)), Handler)
    server.serve_forever()


if __name__ == "__main__":
    main()
