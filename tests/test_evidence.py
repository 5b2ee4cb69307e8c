"""What was seen is on disk at once, and credentials are not in it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfire.evidence import Evidence, redact


def test_observation_is_on_disk_when_record_returns(tmp_path: Path) -> None:
    Evidence(tmp_path).record("last_event", "[DONE]")

    line = (tmp_path / "observations.jsonl").read_text()

    assert json.loads(line) == {"name": "last_event", "value": "[DONE]"}


def test_name_is_used_once(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    evidence.record("status", 200)

    with pytest.raises(KeyError, match="already recorded"):
        evidence.record("status", 503)


def test_single_values_are_figures_and_structures_are_not(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    evidence.record("share", 0.05)
    evidence.record("pods", ["a", "b"])

    assert evidence.figures == {"share": 0.05}
    assert list(evidence.observations) == ["share", "pods"]


def test_exchange_alone_is_no_observation(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)

    evidence.exchange({"request": {"method": "GET"}})

    assert not evidence.observations
    assert evidence.files() == [tmp_path / "exchanges.jsonl"]


@pytest.mark.parametrize(
    "value",
    [
        {"headers": {"Authorization": "Bearer hunter2hunter2"}},
        {"api_key": "hunter2hunter2"},
        {"kind": "Secret", "data": {"anything": "hunter2hunter2"}},
        {"kind": "Secret", "stringData": {"anything": "hunter2hunter2"}},
        {"users": [{"user": {"client-key-data": "hunter2hunter2"}}]},
        "curl -H 'authorization: bearer hunter2hunter2'",
        "http://admin:hunter2hunter2@registry.example/v2",
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2hunter2\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nhunter2hunter2 and then cut",
        b"token sk-hunter2hunter2",
        ("x", {"password": ["hunter2hunter2"]}),
    ],
)
def test_credentials_do_not_reach_the_disk(tmp_path: Path, value: object) -> None:
    evidence = Evidence(tmp_path)

    evidence.record("seen", value)
    evidence.exchange({"seen": value})
    evidence.attach("seen.txt", json.dumps(redact(value)))

    assert all("hunter2" not in path.read_text() for path in evidence.files())
    assert len(evidence.files()) == 3


@pytest.mark.parametrize(
    "value",
    [
        {"max_tokens": 16, "completion_tokens": 3, "usage": {"prompt_tokens": 1}},
        {"kind": "ConfigMap", "data": {"program.py": "print()"}},
        {"authorization": ""},
        "the bearer of bad news",
        "http://10.96.0.80:8000/v1/models",
        None,
    ],
)
def test_what_is_no_credential_stays(value: object) -> None:
    assert redact(value) == value


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)


@given(json_values)
def test_redacting_twice_changes_nothing_more(value: object) -> None:
    assert redact(redact(value)) == redact(value)
