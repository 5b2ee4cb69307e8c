"""Running a command in a container, over the API server's websocket."""

import io
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from kubernetes import client as k8s
from kubernetes.stream import stream

from hotfire.cluster.outages import Unreached, opening
from hotfire.errors import ClusterError

# What comes from the Kubernetes client, which ships no types.
Untyped: TypeAlias = Any

_STDIN_CHANNEL = 0
# What a command may print; what it runs in is often the target's.
_MOST_CHARACTERS = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """How a command in a container ended."""

    rc: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command for one container."""

    namespace: str
    pod: str
    container: str
    argv: Sequence[str]
    stdin: str | None

    def __str__(self) -> str:
        return f"exec {self.argv[0]} in {self.namespace}/{self.pod}/{self.container}"


def execute(configuration: Untyped, command: Command, *, within_seconds: float) -> ExecResult:
    """Run one command to its end.

    It runs on a thread of its own, because the websocket's handshake knows no deadline and may hang
    for minutes when the node's network is the thing that was broken.

    Raises:
        Unreached: the API server or the node did not let us through to its end, for now.
        ClusterError: it could not be started, did not end in time, or printed too much.
    """
    outcome: list[ExecResult | Exception] = []
    opened = threading.Event()

    def work() -> None:
        try:
            outcome.append(_run(configuration, command, within_seconds, opened))
        except Exception as error:  # noqa: BLE001 - carried to the caller's thread, raised there
            outcome.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(within_seconds)
    if not outcome:
        kind = ClusterError if opened.is_set() else Unreached
        raise kind(f"{command} did not end within {within_seconds:g} s")
    if isinstance(result := outcome[0], Exception):
        # The client stumbles over its own refusals, which carry no body; the cause is behind that.
        cause = result.__context__ if isinstance(result, AttributeError) else result
        kind = Unreached if _may_pass(cause, opened=opened.is_set()) else ClusterError
        raise kind(f"{command} failed: {cause}") from result
    return result


def _may_pass(cause: BaseException | None, *, opened: bool) -> bool:
    if opened:
        return not isinstance(cause, TimeoutError | OverflowError)
    return isinstance(cause, k8s.ApiException) and opening(cause)


def _run(
    configuration: Untyped, command: Command, within_seconds: float, opened: threading.Event
) -> ExecResult:
    deadline = time.monotonic() + within_seconds
    # stream() swaps the client's request function while connecting: a shared client is not safe.
    api = k8s.CoreV1Api(k8s.ApiClient(configuration))
    socket = stream(
        api.connect_get_namespaced_pod_exec,
        command.pod,
        command.namespace,
        container=command.container,
        command=list(command.argv),
        stdin=command.stdin is not None,
        stdout=True,
        stderr=True,
        tty=False,
        _preload_content=False,
    )
    opened.set()
    try:
        if command.stdin is not None:
            socket.write_stdin(command.stdin)
            socket.close_channel(_STDIN_CHANNEL)
        stdout, stderr = printed(socket, deadline)
        if socket.is_open():
            raise TimeoutError(f"still running after {within_seconds:g} s")
        if (rc := socket.returncode) is None:
            raise ConnectionError("broken off before its end")
        return ExecResult(rc=int(rc), stdout=stdout, stderr=stderr)
    finally:
        socket.close()


def printed(socket: Untyped, deadline: float) -> tuple[str, str]:
    """Return what a command prints until it ends, or until the deadline.

    Raises:
        OverflowError: it prints more than anybody needs.
    """
    out, err = io.StringIO(), io.StringIO()
    while socket.is_open() and time.monotonic() < deadline:
        socket.update(timeout=min(1.0, max(0.0, deadline - time.monotonic())))
        _take(socket, out, err)
    _take(socket, out, err)
    return out.getvalue(), err.getvalue()


def _take(socket: Untyped, out: io.StringIO, err: io.StringIO) -> None:
    out.write(socket.read_stdout(timeout=0))
    err.write(socket.read_stderr(timeout=0))
    if out.tell() + err.tell() > _MOST_CHARACTERS:
        raise OverflowError(f"it prints more than {_MOST_CHARACTERS >> 20} MiB")
