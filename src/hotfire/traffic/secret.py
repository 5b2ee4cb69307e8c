"""Secrets in a plan's headers: the plan names them, and only the process that sends reads them.

``${env:NAME}`` stands for an environment variable, ``${file:/PATH}`` for what a file holds. This is
the one place of a load that reads its environment: what is passed on can be written down.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hotfire import text_files
from hotfire.errors import ProfileError
from hotfire.history import Request
from hotfire.traffic.plan import LoadPlan

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_MASK = "***"
_TELLTALE = 4
"""Characters from which on the beginning of a secret is hidden at the end of a cut text."""


def resolved(value: str) -> str:
    """Return a header's value with the secrets that it names.

    Raises:
        ProfileError: one cannot be read; the message names it.
    """
    return _REFERENCE.sub(lambda found: _read(found[1]), value)


def named(plan: LoadPlan) -> list[str]:
    """Return each reference of the plan's headers, such as ``env:API_KEY``."""
    headers = [plan.headers, *(tenant.headers for tenant in plan.tenants)]
    values = [value for some in headers for value in some.values()]
    return [name for value in values for name in _REFERENCE.findall(value)]


def _read(name: str) -> str:
    kind, _, where = name.partition(":")
    if kind not in ("env", "file") or (kind == "file" and not Path(where).is_absolute()):
        raise _unreadable(name, "write ${env:NAME} or ${file:/PATH}")
    try:
        text = os.environ[where] if kind == "env" else text_files.read(Path(where))
    except (KeyError, OSError, ValueError) as error:
        why = "no such variable" if kind == "env" else type(error).__name__
        raise _unreadable(name, f"{why} where the load process runs") from error
    secret = text.strip()
    if not secret.isprintable() or not secret:
        raise _unreadable(name, "it is empty or holds more than one line")
    return secret


def _unreadable(name: str, why: str) -> ProfileError:
    return ProfileError(f"headers: ${{{name}}} cannot be read: {why}")


class Secrets:
    """What must not be written down, even where the target says it back.

    Raises:
        ProfileError: one of the plan's secrets cannot be read.
    """

    def __init__(self, plan: LoadPlan) -> None:
        self._values = sorted(set(_forms(map(_read, named(plan)))), key=len, reverse=True)

    def hidden(self, row: Request) -> Request:
        """Return the row without them."""
        if not self._values:
            return row
        return replace(
            row,
            detail=self._without(row.detail),
            deviation=self._without(row.deviation),
            served_by=row.served_by and self._without(row.served_by),
            finish_reason=row.finish_reason and self._without(row.finish_reason),
        )

    def _without(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, _MASK)
            for length in range(len(value) - 1, _TELLTALE - 1, -1):
                if text.endswith(value[:length]):
                    text = text[:-length] + _MASK
        return text


def _forms(values: Iterator[str]) -> Iterator[str]:
    """Yield each secret as it is and as JSON has it."""
    for value in values:
        yield from (value, json.dumps(value)[1:-1])
