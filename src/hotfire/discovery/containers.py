"""One container as its pod's specification tells it: what runs there, where it listens."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hotfire.cluster import Document
from hotfire.discovery.hardware import extended

ENGINES: Final[Mapping[str, tuple[str, ...]]] = {
    # Before vLLM, whose name some of its arguments have in them.
    "llm-d-inference-sim": ("llm-d-inference-sim",),
    "sglang": ("sglang",),
    "tensorrt-llm": ("trtllm", "tensorrt-llm", "tensorrt_llm"),
    "tgi": ("text-generation-inference", "text-generation-launcher"),
    "llama-cpp": ("llama-server", "llama.cpp", "llama_cpp"),
    "lmdeploy": ("lmdeploy",),
    "dynamo": ("dynamo",),
    "ray-serve": ("rayproject/ray", "ray start", "serve run"),
    "vllm": ("vllm",),
}
"""Words in an image, a command or an argument by which an engine is known."""
HEALTH_PATHS: Final = frozenset(
    {"/health", "/healthz", "/health_generate", "/health/ready", "/live", "/ping", "/v1/models"}
    | {"/v1/health", "/v2/health/ready", "/v2/health/live", "/-/healthz"}
)
_PROBES: Final = ("readinessProbe", "startupProbe", "livenessProbe")
_SERVED: Final = ("--served-model-name", "--alias", "--model-name")
_LOADED: Final = ("--model", "--model-path", "--model-id", "-m")
_ENGINE_PROGRAMS: Final = re.compile(r"(^|/)(vllm|lmdeploy|trtllm-serve)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """An HTTP probe of a container."""

    kind: str
    path: str
    port: int | str
    scheme: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineContainer:
    """A container that may be an inference engine."""

    name: str
    image: str
    words: tuple[str, ...]
    """Command and arguments."""
    ports: Mapping[str, int]
    probes: tuple[Probe, ...]
    resources: frozenset[str]
    """Extended resources that it asks for."""

    @classmethod
    def parse(cls, spec: Mapping[str, Any]) -> "EngineContainer":
        """Return a container of a pod's specification."""
        resources = spec.get("resources") or {}
        amounts = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        ports = [one for one in spec.get("ports") or () if one.get("protocol", "TCP") == "TCP"]
        return cls(
            name=spec["name"],
            image=str(spec.get("image") or ""),
            words=(*(spec.get("command") or ()), *(spec.get("args") or ())),
            ports={str(p.get("name") or p["containerPort"]): p["containerPort"] for p in ports},
            probes=tuple(_probes(spec)),
            resources=frozenset(extended(amounts)),
        )

    @property
    def kind(self) -> str | None:
        """Which engine runs there by its image and its command; None: none that we know."""
        text = " ".join((self.image, *self.words)).lower()
        return next(
            (kind for kind, marks in ENGINES.items() if any(m in text for m in marks)), None
        )

    @property
    def port(self) -> int | None:
        """Where it serves: the port that its probes ask, else the only one, else one named http."""
        for probe in self.probes:
            found = self.ports.get(probe.port) if isinstance(probe.port, str) else probe.port
            if found:
                return found
        if len(self.ports) == 1:
            return next(iter(self.ports.values()))
        return self.ports.get("http")

    @property
    def likelihood(self) -> int:
        """How much speaks for an engine; 0: nothing."""
        known = any(probe.path in HEALTH_PATHS for probe in self.probes)
        return 4 * (self.kind is not None) + 3 * known + bool(self.ports)

    def models(self) -> tuple[str, list[str]]:
        """Return by which argument a model is served, and under which names; none: ("", [])."""
        for options in (_SERVED, _LOADED):
            for option in options:
                if names := list(self._values(option)):
                    return option, names
        for number, word in enumerate(self.words[:-2]):
            if _ENGINE_PROGRAMS.search(word) and not self.words[number + 2].startswith("-"):
                return f"{word} {self.words[number + 1]}", [self.words[number + 2]]
        return "", []

    def _values(self, option: str) -> Iterator[str]:
        for number, word in enumerate(self.words):
            if word.startswith(f"{option}="):
                yield word.partition("=")[2]
            elif word == option:
                for value in self.words[number + 1 :]:
                    if value.startswith("-"):
                        break
                    yield value


def engine_container(pod_spec: Document) -> EngineContainer | None:
    """Return the container that is most likely the engine; None if there is no container."""
    found = [EngineContainer.parse(one) for one in pod_spec.get("containers") or ()]
    return max(found, key=lambda one: (len(one.resources), one.likelihood), default=None)


def _probes(spec: Mapping[str, Any]) -> Iterator[Probe]:
    for kind in _PROBES:
        asked = (spec.get(kind) or {}).get("httpGet")
        if asked:
            yield Probe(
                kind=kind,
                path=str(asked.get("path") or "/"),
                port=asked["port"],
                scheme=str(asked.get("scheme") or "HTTP").lower(),
            )


def named(words: Sequence[str], marks: Sequence[str]) -> bool:
    """Return whether one of some marks stands in one of some words."""
    return any(mark in word.lower() for word in words for mark in marks)
