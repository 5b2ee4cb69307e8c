"""Calls to the API server: with a deadline, repeated where that does no harm, in our errors."""

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Self, TypeAlias, TypeVar

import urllib3
from kubernetes import client as k8s
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.discovery import LazyDiscoverer
from kubernetes.dynamic.exceptions import ResourceNotFoundError

from hotfire.cluster.execution import Command, ExecResult, Untyped, execute
from hotfire.cluster.outages import DOOR, passing
from hotfire.errors import ClusterError, Conflict, Forbidden
from hotfire.patience import Patience
from hotfire.time_spent import taking

# A Kubernetes object as the API gives and takes it.
Document: TypeAlias = dict[str, Any]
T = TypeVar("T")

CREATED, NOT_FOUND, CONFLICT = 201, 404, 409
_FORBIDDEN = 403
# The library would read what lies at its default place; nothing can lie here.
_NO_FILE: Final = "/dev/null/none"


class _Discoverer(LazyDiscoverer):  # type: ignore[misc]
    """What the API server serves, known to this process alone.

    The library would write all of it down with each group that it hears of, by default to a
    world-writable file per host name that clusters share.
    """

    def _write_cache(self) -> None:
        """Write nothing."""


class Calls:
    """The connection to one API server, and how long its silence is borne."""

    def __init__(self, api: Untyped, *, api_seconds: float, patience: Patience) -> None:
        """Use a client; every call that names no deadline has ``api_seconds``."""
        api.call_api = _with_deadline(api.call_api, api_seconds)
        # The transport would repeat some calls by itself, and obey any Retry-After.
        api.rest_client.pool_manager.connection_pool_kw["retries"] = urllib3.Retry(0)
        self.api = api
        self.patience = patience
        self.dynamic = self.ask(
            "discover the API", lambda: DynamicClient(api, _NO_FILE, discoverer=_Discoverer)
        )

    def impatient(self) -> Self:
        """Return the same connection without patience."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, patience=self.patience.shortened())
        return twin

    @property
    def core(self) -> k8s.CoreV1Api:
        """What the library knows of the core objects' subresources."""
        return k8s.CoreV1Api(self.api)

    def resource(self, kind: str, api_version: str, subresource: str = "") -> Untyped:
        """Return how the objects of one kind are reached, or a subresource of theirs.

        Raises:
            ResourceNotFoundError: the cluster does not serve it.
        """
        # The library would ask every group there is for a kind of the core.
        prefix = "apis" if "/" in api_version else "api"
        found = self.dynamic.resources.get(prefix=prefix, kind=kind, api_version=api_version)
        if not subresource:
            return found
        if subresource not in found.subresources:
            raise ResourceNotFoundError(f"{kind} of {api_version} has no {subresource}")
        return found.subresources[subresource]

    def ask(self, what: str, call: Callable[[], T]) -> T:
        """Make a call that may be repeated without harm."""
        return self.attempt(what, lambda _again: call())

    def attempt(self, what: str, call: Callable[[bool], T]) -> T:
        """Make a call that must know whether it is repeated."""
        with translated(what):
            return self.patience.retrying(call, door=DOOR, passing=passing)

    def execute(self, command: Command, *, within_seconds: float, repeatable: bool) -> ExecResult:
        """Run a command in a container, again while the way to it does not open if that may be."""
        patience = self.patience if repeatable else self.patience.shortened()
        with taking("command", f"{command.argv[0]} in {command.container}"):
            return patience.retrying(
                lambda _again: execute(
                    self.api.configuration, command, within_seconds=within_seconds
                ),
                door=f"the way to {command.namespace}/{command.pod}",
                passing=passing,
                prompt=False,
            )


def plain(found: Untyped) -> Document:
    """Return an object as the API gave it."""
    document: Document = found.to_dict()
    return document


def _with_deadline(call: Callable[..., Untyped], seconds: float) -> Callable[..., Untyped]:
    """Give a deadline to every call that names none; the client's default is to wait for ever."""

    @functools.wraps(call)
    def called(*args: Untyped, **kwargs: Untyped) -> Untyped:
        kwargs["_request_timeout"] = kwargs.get("_request_timeout") or seconds
        with taking("API call", str(args[1]) if len(args) > 1 else ""):
            return call(*args, **kwargs)

    return called


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise what goes wrong inside as an error of the cluster, with what was tried."""
    try:
        yield
    except k8s.ApiException as error:
        refusal = f"cannot {what}: {error.status} {message(error)}"
        if error.status == CONFLICT:
            raise Conflict(refusal) from error
        if error.status == _FORBIDDEN:
            raise Forbidden(refusal) from error
        raise ClusterError(refusal) from error
    except ResourceNotFoundError as error:
        raise ClusterError(f"cannot {what}: this cluster does not serve that kind") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ClusterError(f"cannot {what}: the API server does not answer: {error}") from error


def message(error: Untyped) -> str:
    """Return what the API server said, without the JSON around it."""
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body
    try:
        said = json.loads(body)["message"]
    except (TypeError, ValueError, KeyError):
        said = body or error.reason
    return str(said)[:500]
