"""Each engine's table says by which names it tells what; what it does not tell is never zero."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import get_args

import pytest

from fixtures.dialects import Spoken
from hotfire import TargetProfile, engines, metrics
from hotfire.engines.dialect import Dialect, Series, dialect_of
from hotfire.errors import HarnessError, ProfileError
from hotfire.profile import Engine

KINDS = get_args(Engine.model_fields["kind"].annotation)


def spoken(kind: str, **engine: object) -> Spoken:
    fields_ = {"model": "m", "kind": kind, **engine}
    return Spoken(
        TargetProfile.model_validate(
            {"name": "t", "gateway": {"url": "http://g"}, "engine": fields_, "budgets": "lab"}
        )
    )


def test_the_target_file_knows_the_kinds_that_have_a_table() -> None:
    files = {path.stem for path in Path(engines.__path__[0]).glob("*.py")}

    assert {kind.replace("-", "_") for kind in KINDS} == files - {"__init__", "dialect"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_is_frozen_and_names_series_as_prometheus_does(kind: str) -> None:
    dialect = dialect_of(kind)
    values = [getattr(dialect, one.name) for one in fields(Dialect)]

    for series in (one for one in values if isinstance(one, Series)):
        assert metrics.parse(f"{series.name} 1\n").total(series.name) == 1
    with pytest.raises(FrozenInstanceError):
        dialect.port = 1  # type: ignore[misc]


def test_a_kind_without_a_table_is_refused() -> None:
    with pytest.raises(ProfileError, match="no engine 'ollama' is known"):
        dialect_of("ollama")


def test_a_page_is_where_the_kind_or_the_target_file_says() -> None:
    assert spoken("vllm").local_url == "http://localhost:8000/metrics"
    assert spoken("tensorrt-llm").local_url == "http://localhost:8000/prometheus/metrics"
    assert spoken("ray-serve").local_url == "http://localhost:8080/metrics"
    other = spoken("vllm", metrics_port=9090, metrics_path="/m")
    assert other.local_url == "http://localhost:9090/m"


@pytest.mark.parametrize("text", ['[{"iter": 1}]', "<html>", "", "num_requests 1"])
def test_what_does_not_begin_as_a_metrics_page_is_named_with_the_flag(text: str) -> None:
    with pytest.raises(HarnessError, match="no metrics page does; start it with --enable-metrics"):
        spoken("sglang").read("pod-1", text)


def test_a_series_that_is_absent_is_not_zero() -> None:
    page = spoken("sglang").read("pod-1", "# HELP sglang:token_usage x\nsglang:token_usage 0\n")

    assert page.total(spoken("sglang").name("kv_use")) == 0
    assert page.total(spoken("sglang").name("running")) is None


def test_what_a_kind_does_not_tell_is_said() -> None:
    with pytest.raises(HarnessError, match="engines of kind llama-cpp tell no ttft"):
        spoken("llama-cpp").name("ttft")


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [("vllm", "vllm:"), ("sglang", "sglang:"), ("tensorrt-llm", "trtllm_"), ("generic", "")],
)
def test_all_series_of_a_kind_begin_alike(kind: str, prefix: str) -> None:
    assert dialect_of(kind).prefix == prefix


def test_the_scripted_engine_speaks_as_vllm_does() -> None:
    # Its own page, from its own source: the two must not part.
    source = Path(engines.__path__[0]).parent / "engine" / "scripted.py"
    text, dialect = source.read_text(), dialect_of("vllm")
    # It has no adapters to tell of.
    named = [getattr(dialect, one.name) for one in fields(Dialect) if one.name != "adapters"]

    assert [s.name for s in named if isinstance(s, Series) and s.name not in text] == []
