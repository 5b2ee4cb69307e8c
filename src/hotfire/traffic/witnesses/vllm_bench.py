"""``vllm bench serve`` on the same target: another tool's word on what ours measured."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hotfire.errors import HarnessError, ProfileError
from hotfire.evidence import redact
from hotfire.measure.history import Request
from hotfire.measure.latency import Seconds
from hotfire.measure.slo import Account
from hotfire.reference import resolved
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.prompts import Lengths

# The chat form opens with a chunk that carries the role only; that tool takes it for a token.
PATH: Final = "/v1/completions"
AGREEMENT_RATIO: Final = 0.05
_MARGIN_SECONDS: Final = 180.0
_BURSTINESS: Final = {"poisson": 1.0, "constant": math.inf}
_UNKNOWN_TO_IT: Final = (
    *("mode", "steps", "rate_end_per_second", "prompts", "tenants", "stream"),
    *("connection", "server_name", "client_certificate"),
)
"""Fields of a plan that it cannot follow unless they have their defaults."""
_HEADERS_VARIABLE: Final = "HOTFIRE_BENCH_HEADERS"
# It takes headers as arguments only, and everybody on the machine can read those of a process.
_PROGRAM: Final = f"""
import argparse, json, os, sys
from vllm.benchmarks.serve import add_cli_args, main
parser = argparse.ArgumentParser()
add_cli_args(parser)
headers = json.loads(os.environ.pop("{_HEADERS_VARIABLE}"))
main(parser.parse_args(sys.argv[1:] + (["--header", *headers] if headers else [])))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One figure of both tools, seconds."""

    name: str
    ours_seconds: float
    theirs_seconds: float

    @property
    def ratio(self) -> float | None:
        """How far theirs is from ours, relative to ours; None if ours is nothing to relate to."""
        return self.theirs_seconds / self.ours_seconds - 1 if self.ours_seconds > 0 else None

    @property
    def agrees(self) -> bool:
        """Whether they agree within five percent."""
        return self.ratio is not None and abs(self.ratio) <= AGREEMENT_RATIO

    @property
    def doubtful(self) -> bool:
        """Whether a median differs; a mean holds what each tool's own process added."""
        return self.ratio is not None and not self.agrees and self.name.startswith("median")

    def told(self) -> str:
        """Return the comparison in one line."""
        both = f"{self.name:<12} {_ms(self.ours_seconds)}, theirs {_ms(self.theirs_seconds)}"
        if self.ratio is None:
            return f"{both}: not comparable"
        return f"{both} ({self.ratio:+.1%}): {'agrees' if self.agrees else 'differs'}"

    def document(self) -> dict[str, str | float | None]:
        """Return it as JSON has it: a figure that is missing is null."""
        ours = self.ours_seconds
        return {
            "name": self.name,
            "ours_seconds": ours if math.isfinite(ours) else None,
            "theirs_seconds": self.theirs_seconds,
        }


def site_packages() -> Path:
    """Return the lab's own environment of the engine.

    Raises:
        ProfileError: it has not been built.
    """
    return _part("engine-*/site-packages", holding="vllm", what="engine")


def _part(pattern: str, *, holding: str, what: str) -> Path:
    """Return what the lab built last of a kind; older builds lie beside it."""
    parts = Path.home() / ".cache" / "hotfire" / "parts"
    found = [path for path in parts.glob(pattern) if (path / holding).exists()]
    if not found:
        raise ProfileError(
            f"--cross-check vllm-bench needs the lab's {what}: run `hotfire lab build` first"
        )
    return max(found, key=lambda path: (path.stat().st_mtime, path))


def check_comparable(plan: LoadPlan) -> None:
    """Accept a plan that this tool can follow: one rate, prompts of random words, one sender.

    Raises:
        ProfileError: it cannot; the message names the field and the remedy.
    """
    other = [n for n in _UNKNOWN_TO_IT if getattr(plan, n) != LoadPlan.model_fields[n].default]
    lengths = {name: getattr(plan, name) for name in ("input_words", "output_tokens")}
    other += [name for name, given in lengths.items() if given and _ends(given) is None]
    other += ["process"] if plan.process == "trace" else []
    if other:
        raise ProfileError(
            f"{other[0]}: vllm bench serve cannot send that, only an open load of one rate,"
            " random words, constant or uniform lengths; leave it at its default or drop"
            " --cross-check"
        )


def _ends(lengths: Lengths) -> tuple[int, int] | None:
    """Return the least and the greatest length; None if they are not drawn as this tool does."""
    if lengths.distribution == "constant":
        return (lengths.draw(0, 0),) * 2
    return (lengths.least, lengths.most) if lengths.distribution == "uniform" else None


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
    environment[_HEADERS_VARIABLE] = json.dumps(
        [f"{name}={resolved(value)}" for name, value in plan.headers.items()]
    )
    if plan.ca_file:
        environment["SSL_CERT_FILE"] = str(Path(plan.ca_file).resolve())
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
    # It prints its arguments.
    log = str(redact(done.stdout + done.stderr))
    (folder / "vllm-bench.log").write_text(log, encoding="utf-8")
    try:
        found: dict[str, Any] = json.loads(result.read_bytes())
    except (OSError, ValueError) as error:
        last = str(redact((done.stderr.strip().splitlines() or ["nothing"])[-1]))
        raise HarnessError(f"vllm bench serve failed; its last words are: {last}") from error
    return found


def _options(plan: LoadPlan, requests: int, result: Path) -> list[str]:
    words_in, words_spread = _mean_and_spread(plan.input_words, plan.prompt_words)
    tokens_out, tokens_spread = _mean_and_spread(plan.output_tokens, plan.max_tokens)
    options = {
        "backend": "openai",
        "base-url": plan.url + plan.base_path,
        "endpoint": PATH,
        "model": plan.model,
        "tokenizer": str(_part("model-*", holding="tokenizer.json", what="model")),
        "dataset-name": "random",
        "random-input-len": str(words_in),
        "random-output-len": str(tokens_out),
        "random-range-ratio": json.dumps({"input": words_spread, "output": tokens_spread}),
        "num-prompts": str(requests),
        "request-rate": str(plan.rate_per_second),
        "burstiness": str(_BURSTINESS.get(plan.process, plan.burstiness)),
        "seed": str(plan.seed),
        "temperature": "0",
        "extra-body": json.dumps(plan.extra_body),
        "metric-percentiles": "50,95",
        "percentile-metrics": "ttft,tpot,itl,e2el",
        "result-dir": str(result.parent),
        "result-filename": result.name,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [*words, "--save-result"]


def _mean_and_spread(lengths: Lengths | None, otherwise: int) -> tuple[int, float]:
    """Return the mean length, to half a word, and how far lengths lie from it, relative to it."""
    least, most = (lengths and _ends(lengths)) or (otherwise, otherwise)
    return (least + most) // 2, (most - least) / (most + least)


def compare(rows: Iterable[Request], theirs: dict[str, Any]) -> list[Compared]:
    """Return each figure both tools have, by the same definition.

    Their TTFT begins right before the sending, so it is compared with service TTFT; their ITL is
    our pooled chunk gap, their E2E ends at the last content.
    """
    account = Account.of(row for row in rows if row.complete)
    sent, tpot, summary = account.served("service_ttft"), account.served("tpot"), account.summary()
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


def _ms(seconds: float) -> str:
    return "       -" if math.isnan(seconds) else f"{1000 * seconds:8.2f} ms"


def _mean(values: Seconds) -> float:
    return float(values.mean()) if len(values) else math.nan
