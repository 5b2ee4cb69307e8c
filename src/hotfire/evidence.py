"""What we saw: the observations a verdict rests on, redacted before anything is written."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

_REDACTED = "[redacted]"
_SECRET_NAME = re.compile(
    r"(proxy-)?authorization|(set-)?cookie|x-api-key|api[-_]?key|access[-_]?token|refresh[-_]?token"
    r"|id[-_]?token|bearer[-_]?token|token|password|passwd|secret|client[-_]?secret|private[-_]?key"
    r"|client-key-data|stringData",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"(?<=bearer )[\w.~+/=-]{6,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|\b(sk|hf|ghp|glpat)[-_][A-Za-z0-9_-]{12,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)",
    re.IGNORECASE | re.DOTALL,
)

Scalar = bool | int | float | str | None


def redact(value: object) -> object:
    """Return a JSON-like value without credentials, in names of keys or in texts.

    Every value below a key such as ``authorization`` or ``password`` goes, and so do the data of
    a Kubernetes Secret, bearer tokens, JWTs, private keys and passwords in URLs.
    """
    if isinstance(value, str):
        return _SECRET_TEXT.sub(_REDACTED, value)
    if isinstance(value, bytes):
        return redact(value.decode(errors="replace"))
    if isinstance(value, Mapping):
        hidden = {"data"} if value.get("kind") == "Secret" else set()
        return {str(key): _redact_item(str(key), item, hidden) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    if isinstance(value, bool | int | float | None):
        return value
    return redact(str(value))


def _redact_item(key: str, item: object, hidden: set[str]) -> object:
    secret = key in hidden or _SECRET_NAME.fullmatch(key)
    return _REDACTED if secret and item not in (None, "") else redact(item)


class Evidence:
    """Observations made by one case, in the order they were made.

    Each is on disk before ``record`` returns: observations.jsonl for what the case names,
    exchanges.jsonl for the HTTP exchanges and Kubernetes writes recorded along the way.
    """

    def __init__(self, directory: Path) -> None:
        """Collect below an existing folder; nothing is written until something was seen."""
        self.directory = directory
        self._observations: dict[str, object] = {}

    def record(self, name: str, value: object) -> None:
        """Keep one JSON-like observation under a name used once per case.

        Raises:
            KeyError: the name was used before; a later value must not hide an earlier one.
        """
        if name in self._observations:
            raise KeyError(f"evidence {name!r} was already recorded")
        clean = redact(value)
        self._observations[name] = clean
        self._append("observations.jsonl", {"name": name, "value": clean})

    def exchange(self, entry: Mapping[str, object]) -> None:
        """Keep one HTTP exchange or Kubernetes write; the recorder of Endpoint and Cluster."""
        self._append("exchanges.jsonl", redact(entry))

    def attach(self, name: str, text: str) -> Path:
        """Keep a whole text, such as a manifest or a log, as a file and return its path."""
        path = self.directory / name
        path.write_text(str(redact(text)), encoding="utf-8")
        return path

    @property
    def observations(self) -> Mapping[str, object]:
        """What was recorded by name; without any, a pass proves nothing."""
        return self._observations

    @property
    def figures(self) -> dict[str, Scalar]:
        """The observations that are single values, as reports tabulate them."""
        pairs = self._observations.items()
        return {name: value for name, value in pairs if isinstance(value, Scalar)}

    def files(self) -> list[Path]:
        """Return every file of this evidence, sorted."""
        return sorted(path for path in self.directory.rglob("*") if path.is_file())

    def _append(self, name: str, entry: object) -> None:
        with (self.directory / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
