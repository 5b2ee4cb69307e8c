"""``vllm bench serve`` on the same target: another tool's word on what ours measured."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hotfire.errors import HarnessError, ProfileError
from hotfire.history import Request
from hotfire.slo import summarise, tpot_seconds, ttft_seconds
from hotfire.traffic.plan import LoadPlan

# The chat form opens with a chunk that carries the role only; that tool takes it for a token.
PATH: Final = "/v1/completions"
AGREEMENT_RATIO: Final = 0.05
_MARGIN_SECONDS: Final = 180.0
_PROGRAM: Final = """
import argparse
from vllm.benchmarks.serve import add_cli_args, main
parser = argparse.ArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One figure of both tools, seconds."""

    name: str
    ours_seconds: float
    theirs_seconds: float

    @property
    def ratio(self) -> float:
        """How far theirs is from ours, relative to ours."""
        return self.theirs_seconds / self.ours_seconds - 1

    @property
    def agrees(self) -> bool:
        """Whether they agree within five percent."""
        return abs(self.ratio) <= AGREEMENT_RATIO

    @property
    def doubtful(self) -> bool:
        """Whether a median differs; a mean holds what each tool's own process added."""
        return not self.agrees and self.name.startswith("median")

    def told(self) -> str:
        """Return the comparison in one line."""
        ours, theirs = 1000 * self.ours_seconds, 1000 * self.theirs_seconds
        word = "agrees" if self.agrees else "differs"
        return (
            f"{self.name:<12} {ours:8.2f} ms, theirs {theirs:8.2f} ms ({self.ratio:+.1%}): {word}"
        )


def site_packages() -> Path:
    """Return the lab's own environment of the engine.

    Raises:
        ProfileError: it has not been built.
    """
    parts = Path.home() / ".cache" / "hotfire" / "parts"
    found = [path for path in parts.glob("engine-*/site-packages") if (path / "vllm").is_dir()]
    if not found:
        raise ProfileError(
            "--cross-check vllm-bench needs the lab's engine: run `hotfire lab build` first"
        )
    return found[-1]


def measure(
    plan: LoadPlan, requests: int, folder: Path, *, network_namespace: str | None
) -> dict[str, Any]:
    """Send so many requests like the plan's with ``vllm bench serve``; return its own figures.

    Raises:
        ProfileError: there is no such tool here.
        HarnessError: it failed or did not end; the message shows its last words.
    """
    result = folder / "vllm-bench.json"
    inside = ["nsenter", f"--net=/run/netns/{network_namespace}"] if network_namespace else []
    command = [*inside, sys.executable, "-c", _PROGRAM, *_options(plan, requests, result)]
    environment = {**os.environ, "PYTHONPATH": str(site_packages()), "HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=requests / plan.rate_per_second + _MARGIN_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HarnessError(f"vllm bench serve did not run to its end: {error}") from error
    (folder / "vllm-bench.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    try:
        found: dict[str, Any] = json.loads(result.read_bytes())
    except (OSError, ValueError) as error:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise HarnessError(f"vllm bench serve failed; its last words are: {last}") from error
    return found


def _options(plan: LoadPlan, requests: int, result: Path) -> list[str]:
    options = {
        "backend": "openai",
        "base-url": plan.url,
        "endpoint": PATH,
        "model": plan.model,
        "tokenizer": str(_tokenizer()),
        "dataset-name": "random",
        "random-input-len": str(plan.prompt_words),
        "random-output-len": str(plan.max_tokens),
        "num-prompts": str(requests),
        "request-rate": str(plan.rate_per_second),
        "seed": str(plan.seed),
        "temperature": "0",
        "metric-percentiles": "50,95",
        "percentile-metrics": "ttft,tpot,itl,e2el",
        "result-dir": str(result.parent),
        "result-filename": result.name,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [*words, "--ignore-eos", "--save-result"]


def _tokenizer() -> Path:
    """Return the tiny model, whose tokenizer makes up the prompts."""
    parts = Path.home() / ".cache" / "hotfire" / "parts"
    found = [path for path in parts.glob("model-*") if (path / "tokenizer.json").exists()]
    if not found:
        raise ProfileError(
            "--cross-check vllm-bench needs the lab's model: run `hotfire lab build`"
        )
    return found[-1]


def compare(rows: Sequence[Request], theirs: dict[str, Any]) -> list[Compared]:
    """Return each figure both tools have, by the same definition.

    Their TTFT begins right before the sending, so it is compared with service TTFT; their ITL is
    our pooled chunk gap, their E2E ends at the last content.
    """
    complete = [row for row in rows if row.complete]
    sent = [value for row in complete if (value := ttft_seconds(row, since="sent")) is not None]
    tpot = [value for row in complete if (value := tpot_seconds(row)) is not None]
    summary = summarise(complete)
    pairs = {
        "mean TTFT": (_mean(sent), theirs["mean_ttft_ms"]),
        "median TTFT": (summary.service_ttft.p50_seconds, theirs["median_ttft_ms"]),
        "mean TPOT": (_mean(tpot), theirs["mean_tpot_ms"]),
        "median TPOT": (summary.tpot.p50_seconds, theirs["median_tpot_ms"]),
        "median gap": (summary.chunk_gap.p50_seconds, theirs["median_itl_ms"]),
    }
    return [
        Compared(name=name, ours_seconds=ours, theirs_seconds=their_ms / 1000)
        for name, (ours, their_ms) in pairs.items()
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
