"""The load of this project and its peers: how each is run, and what a run of it tells."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.installed import PACKAGES, installed
from bench.rig import HERE, Measured, mean, p95
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.texts import Texts

PEERS = HERE / "peers"
PYTHON = (sys.executable,)
PARTS = Path.home() / ".cache" / "hotfire" / "parts"
NEVER = [float("nan")]


@dataclass(frozen=True, slots=True)
class Client:
    """One client by its name and the command that runs it."""

    name: str
    command: tuple[str, ...]


OWN = Client("hotfire", (*PYTHON, str(PEERS / "hotfire_load.py")))
LOCUST = (*PYTHON, str(PEERS / "locust_peer.py"))
HERE_ALREADY = {
    "locust-readline": Client("Locust User, geventhttpclient", (*LOCUST, "readline")),
    "locust-fast": Client("Locust FastHttpUser", (*LOCUST, "fast")),
    "httpx": Client("httpx, asyncio", (*PYTHON, str(PEERS / "httpx_peer.py"))),
}
KNOWN = (*HERE_ALREADY, "vllm", *PACKAGES)


def present() -> tuple[str, ...]:
    """Return the peers that need not be installed; vLLM's comes with the lab's parts."""
    return (*HERE_ALREADY, *(["vllm"] if any(PARTS.glob("engine-*/site-packages")) else []))


def peers(wanted: Sequence[str]) -> Iterator[Client]:
    """Return the peers of these names; those of the lab's parts need ``hotfire lab build``."""
    for name in wanted:
        if name in HERE_ALREADY:
            yield HERE_ALREADY[name]
        elif name == "vllm":
            yield Client(
                "vllm bench serve", (*inside_engine(), str(PEERS / "vllm_peer.py"), part("model-*"))
            )
        elif name in PACKAGES:
            yield Client(name, (*installed(name), part("model-*")))
        else:
            raise SystemExit(f"--peers: expected some of {', '.join(KNOWN)}, not {name}")


def part(pattern: str) -> str:
    """Return the newest built part of the lab of that name."""
    found = sorted(PARTS.glob(pattern))
    if not found:
        raise SystemExit(f"this peer needs {pattern} of the lab: run `hotfire lab build` first")
    return str(found[-1])


def inside_engine() -> tuple[str, ...]:
    """Return the command that starts Python in the engine's own environment."""
    site = part("engine-*/site-packages")
    return ("env", f"PYTHONPATH={site}", "VLLM_LOGGING_LEVEL=ERROR", *PYTHON)


def per_token_us(measured: Measured, start_up_cpu_seconds: float) -> float:
    """Return the CPU of one token, the process's start not counted.

    A client whose start costs more than its load tells what the load alone cost.
    """
    without_start = measured.cpu_seconds - start_up_cpu_seconds
    return float(measured.report.get("cpu_seconds", without_start)) / measured.tokens * 1e6


def true_ttft_ms(measured: Measured) -> list[float]:
    """Return the true TTFT of each request: from when it was due, or else from its arrival."""
    due: dict[str, int] = {}
    if told := measured.report.get("plan"):
        # The prompts that the server names requests by are no part of what a load costs.
        texts = Texts(LoadPlan.model_validate_json(told))
        due = {texts.prompt(number)[:12]: ns for number, ns in measured.report["sched_ns"]}
    return [(t.first_ns - due.get(t.prompt, t.arrival_ns)) / 1e6 for t in measured.truths]


def said_ttft_ms(measured: Measured) -> list[float]:
    """Return the TTFT of each request as the client tells it."""
    return measured.report["ttft_ms"] or NEVER


def ttft_error_ms(measured: Measured) -> tuple[float, float]:
    """Return how far reported mean and p95 lie above the true ones."""
    said, true = said_ttft_ms(measured), true_ttft_ms(measured)
    return mean(said) - mean(true), p95(said) - p95(true)


def tail_error_ratio(measured: Measured) -> float:
    """Return how far the reported p95 TTFT lies from the true one, as a part of that."""
    return abs(p95(said_ttft_ms(measured)) / p95(true_ttft_ms(measured)) - 1)


def tpot_error_ms(measured: Measured) -> float:
    """Return how far reported TPOT is from the true one: its mean or its p95, which is worse."""
    said = measured.report["tpot_ms"] or NEVER
    true = [truth.tpot_ms for truth in measured.truths]
    return max(abs(mean(said) - mean(true)), abs(p95(said) - p95(true)))
