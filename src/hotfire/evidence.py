"""What we saw: the observations a verdict rests on, redacted before anything is written."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

from hotfire.hidden import SHORTEST, Hidden

_REDACTED = "[redacted]"
DEEPEST: Final = 100
"""Levels of nesting that are kept: what a peer sends may be nested until no program can walk it."""
_SECRET_NAME = re.compile(
    r"(proxy-)?authorization|(set-)?cookie|x-api-key|api[-_]?key|access[-_]?token|refresh[-_]?token"
    r"|id[-_]?token|bearer[-_]?token|token|password|passwd|secret|client[-_]?secret|private[-_]?key"
    r"|client-key-data|stringData",
    re.IGNORECASE,
)
# Wider, for what an operator writes himself: a header, or a field of a URL's query.
_SECRET_PART = re.compile(
    r"auth(?!or(?!i[sz]))|cookie|token(?!s)|secret|passw|passphrase|credential|signature|^(key|sig|code)$"
    r"|(api|access|account|client|functions|private|subscription)-?key",
    re.IGNORECASE,
)


def _always(_found: re.Match[str]) -> bool:
    return True


def _is_basic(found: re.Match[str]) -> bool:
    try:
        return b":" in base64.b64decode(found[0] + "===")
    except (ValueError, binascii.Error):
        return False


def _is_token(found: re.Match[str]) -> bool:
    return found[1] is not None


# Each takes time in proportion to the text: a match begins where no other could have begun before,
# or takes all that it has read, so that nothing is read again from the next letter on.
_SECRET_TEXTS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], bool]], ...]] = (
    (re.compile(r"(?<=bearer )[\w.~+/=-]{6,}", re.IGNORECASE), _always),
    (re.compile(r"(?<=basic )[\w+/-]{6,}={0,2}", re.IGNORECASE), _is_basic),
    (re.compile(r"eyJ[\w-]{8,}(\.[\w-]{8,}\.[\w-]*)?", re.IGNORECASE), _is_token),
    (re.compile(r"\b(?:sk|hf|ghp|glpat)[-_][A-Za-z0-9_-]{12,}", re.IGNORECASE), _always),
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
            re.IGNORECASE | re.DOTALL,
        ),
        _always,
    ),
    (re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"), _always),
)
# What each of them, and a field of a query, begins with; most texts have none and cost one search.
_SUSPECT: Final = re.compile(
    r"bearer |basic |eyj|\b(?:sk|hf|ghp|glpat)[-_]|-----begin |://|[?&;]", re.IGNORECASE
)
_QUERY_FIELD: Final = re.compile(r"(?<=[?&;])([\w.-]{1,64})=([^&;\s#\"'<>]+)")

Scalar = bool | int | float | str | None

# A process has its secrets for life, and whatever it writes must be without all of them; who writes
# a text seldom knows who was told a secret.
_KNOWN: set[str] = set()
_hidden = Hidden((), mask=_REDACTED)


def keep_secret(*values: str) -> None:
    """Have these values left out of everything that this process redacts from now on."""
    global _hidden  # noqa: PLW0603 - see above
    new = {value for value in values if len(value) >= SHORTEST} - _KNOWN
    if new:
        _KNOWN.update(new)
        _hidden = Hidden(_KNOWN, mask=_REDACTED)


def names_a_secret(name: str) -> bool:
    """Return whether a header or a field of this name usually carries a credential."""
    return bool(_SECRET_PART.search(name.replace("_", "-")))


def redact(value: object) -> object:
    """Return a JSON-like value without credentials, in names of keys or in texts.

    Every value below a key such as ``authorization`` or ``password`` goes, and so do the data of
    a Kubernetes Secret, bearer tokens, JWTs, private keys, passwords in URLs, and every value given
    to ``keep_secret``, in whatever case and quoting. What is nested deeper than 100 levels is left
    out, and half a surrogate pair becomes its escape: the result can always be written as JSON.
    """
    return _redacted(value, DEEPEST)


def _redacted(value: object, levels: int) -> object:
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _structure(value, levels) if levels else f"[nested deeper than {DEEPEST} levels]"
    return _text(value.decode(errors="replace") if isinstance(value, bytes) else str(value))


def _structure(
    value: Mapping[object, object] | Collection[object], levels: int
) -> dict[str, object] | list[object]:
    if not isinstance(value, Mapping):
        return [_redacted(item, levels - 1) for item in value]
    hidden = {"data"} if value.get("kind") == "Secret" else set()
    return {
        _text(str(key)): _redact_item(str(key), item, hidden, levels) for key, item in value.items()
    }


def _redact_item(key: str, item: object, hidden: set[str], levels: int) -> object:
    secret = key in hidden or _SECRET_NAME.fullmatch(key)
    return _REDACTED if secret and item not in (None, "") else _redacted(item, levels - 1)


def _text(text: str) -> str:
    if _SUSPECT.search(text):
        text = _without_shapes(text)
    if _hidden:
        text = _hidden.without(text)
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _without_shapes(text: str) -> str:
    for pattern, is_secret in _SECRET_TEXTS:

        def masked(found: re.Match[str], is_: Callable[..., bool] = is_secret) -> str:
            return _REDACTED if is_(found) else found[0]

        text = pattern.sub(masked, text)
    return _QUERY_FIELD.sub(_query_field, text)


def _query_field(found: re.Match[str]) -> str:
    return f"{found[1]}={_REDACTED}" if names_a_secret(found[1]) else found[0]


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
