"""Secrets by reference: files name them, and only the process that shows them to a peer reads them.

``${env:NAME}`` stands for an environment variable, ``${file:/PATH}`` for what a file holds and
``${secret:NAMESPACE/NAME/KEY}`` for one key of a Kubernetes Secret. What names a secret can be
written down, and passed on. This is the one place that reads the environment for one.

A process that can read a secret lends it to those that it starts, by the environment: an argument
list and a file would show it to others.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator

from hotfire import text_files
from hotfire.errors import ProfileError
from hotfire.evidence import keep_secret, names_a_secret, redact

REFERENCE: Final = re.compile(r"\$\{([^}]*)\}")
KINDS: Final = "${env:NAME}, ${file:/PATH} or ${secret:NAMESPACE/NAME/KEY}"
KEPT_OUT: Final = (
    'it is kept with the run; name the secret in headers, e.g. {"Authorization": "Bearer'
    ' ${env:API_KEY}"}'
)

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A field name of RFC 9110."""
_IN_CLUSTER = re.compile(r"secret:([a-z0-9.-]+)/([a-z0-9.-]+)/([A-Za-z0-9._-]+)")


def _one_line_each(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header; write letters, digits and hyphens")
        if not value.isprintable():
            raise ValueError(f"the value of {name} is more than one line; write it on one")
        secret = names_a_secret(name) or redact(value) != value
        if secret and value and not REFERENCE.search(value):
            raise ValueError(f"the value of {name} would be a secret: {KEPT_OUT}")
    return headers


def _one_reference(value: str) -> str:
    if not REFERENCE.fullmatch(value):
        raise ValueError(f"the secret itself has no place here, since runs keep it; write {KINDS}")
    return value


Headers = Annotated[dict[str, str], AfterValidator(_one_line_each)]
Reference = Annotated[str, AfterValidator(_one_reference)]


def names_in(values: Iterable[str]) -> list[str]:
    """Return each reference in some texts, such as ``env:API_KEY``."""
    return [name for value in values for name in REFERENCE.findall(value)]


def in_cluster(name: str) -> tuple[str, str, str] | None:
    """Return namespace, name and key of the Kubernetes Secret that a reference means, if any."""
    found = _IN_CLUSTER.fullmatch(name)
    return (found[1], found[2], found[3]) if found else None


def resolved(value: str, *, field: str = "headers") -> str:
    """Return a text with the secrets that it names.

    Raises:
        ProfileError: one cannot be read; the message begins with ``field`` and names it.
    """
    return REFERENCE.sub(lambda found: read(found[1], field=field), value)


def read(name: str, *, field: str = "headers") -> str:
    """Return one secret, which this process never writes from now on.

    Raises:
        ProfileError: it cannot be read, is empty, or has more than one line.
    """
    lent = os.environ.get(variable(name))
    secret = (_found(name, field) if lent is None else lent).strip()
    if not secret.isprintable() or not secret:
        raise unreadable(name, "it is empty or holds more than one line", field=field)
    keep_secret(secret)
    return secret


def variable(name: str) -> str:
    """Return the environment variable by which a process lends a secret to those it starts."""
    return f"HOTFIRE_REFERENCE_{hashlib.sha256(name.encode()).hexdigest()[:16].upper()}"


def is_lent(name: str) -> bool:
    """Return whether this process has been lent a secret."""
    return variable(name) in os.environ


def lend(name: str, secret: str) -> None:
    """Let this process, and whatever it starts from now on, have a secret."""
    keep_secret(secret)
    os.environ[variable(name)] = secret


def unreadable(name: str, why: str, *, field: str) -> ProfileError:
    """Return the refusal of a reference."""
    return ProfileError(f"{field}: ${{{name}}} cannot be read: {why}")


def _found(name: str, field: str) -> str:
    kind, _, where = name.partition(":")
    if in_cluster(name):
        why = "a Kubernetes Secret is read by way of a target file; name one by --target"
        raise unreadable(name, why, field=field)
    if kind not in ("env", "file") or (kind == "file" and not Path(where).is_absolute()):
        raise unreadable(name, f"write {KINDS}", field=field)
    try:
        return os.environ[where] if kind == "env" else text_files.read(Path(where))
    except KeyError as error:
        why = "no such variable where the process runs that sends; export it"
        raise unreadable(name, why, field=field) from error
    except (OSError, ValueError) as error:
        raise unreadable(name, f"{type(error).__name__}; mend the file", field=field) from error
