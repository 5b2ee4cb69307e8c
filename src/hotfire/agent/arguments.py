"""Reading what a caller asked for: every argument has a shape, and an unknown one is refused."""

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from hotfire.agent.host import OperationError

_LINK = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_NAME = re.compile(r"[a-z0-9][a-z0-9.@_-]{0,63}")


def only(args: dict[str, Any], known: Collection[str]) -> None:
    """Refuse arguments that nobody reads: a misspelt one would weaken the fault in silence."""
    if unknown := sorted(set(args) - set(known)):
        raise OperationError(f"unknown: {', '.join(unknown)}; there are {', '.join(sorted(known))}")


def link(args: dict[str, Any]) -> str:
    """Return the name of one network link."""
    name = str(args.get("link", ""))
    if not _LINK.fullmatch(name):
        raise OperationError(f"{name!r} is no name of a link")
    return name


def links(args: dict[str, Any]) -> list[str]:
    """Return the links of a fault that takes one (``link``) or several (``links``)."""
    if "links" not in args:
        return [link(args)]
    if not isinstance(args["links"], list) or not args["links"]:
        raise OperationError("links takes a list of names")
    return [link({"link": name}) for name in args["links"]]


def service(args: dict[str, Any]) -> str:
    """Return the name of a service."""
    name = str(args.get("service", ""))
    if not _NAME.fullmatch(name):
        raise OperationError(f"{name!r} is no name of a service")
    return name


def number(args: dict[str, Any], name: str, *, above: float, at_most: float) -> float:
    """Return a number within its bounds.

    Raises:
        OperationError: it is missing, no number or out of bounds.
    """
    try:
        value = float(args[name])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise OperationError(f"{name} takes a number, got {args.get(name)!r}") from None
    if not above < value <= at_most:
        raise OperationError(f"{name} of {value:g} is not above {above:g} and at most {at_most:g}")
    return value


def choice(args: dict[str, Any], name: str, choices: Collection[str], default: str = "") -> str:
    """Return one of several words."""
    value = str(args.get(name, default))
    if value not in choices:
        raise OperationError(f"{name} is one of {', '.join(sorted(choices))}, not {value!r}")
    return value


def networks(args: dict[str, Any], name: str) -> list[str]:
    """Return IPv4 addresses or networks; empty where none are named."""
    listed = args.get(name) or []
    if not isinstance(listed, list):
        raise OperationError(f"{name} takes a list of addresses")
    try:
        return [str(IPv4Network(str(one))) for one in listed]
    except ValueError as error:
        raise OperationError(f"{name}: {error}") from error


def port(args: dict[str, Any]) -> int:
    """Return one port (``port``)."""
    return round(number(args, "port", above=0, at_most=65535))


def peer(args: dict[str, Any], *, longest_seconds: float) -> tuple[str, int, float]:
    """Return whom to ask, by address and port, and how long each step of it may take."""
    seconds = number(args, "within_seconds", above=0, at_most=longest_seconds)
    return address(args), port(args), seconds


def address(args: dict[str, Any]) -> str:
    """Return one IPv4 address (``address``)."""
    try:
        return str(IPv4Address(str(args.get("address", ""))))
    except ValueError as error:
        raise OperationError(f"address: {error}") from error
