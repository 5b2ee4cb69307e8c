"""A secret that is known is found in whatever form it comes back."""

import base64
import time
from urllib.parse import quote

import pytest

from hotfire import evidence
from hotfire.evidence import keep_secret, names_a_secret, redact
from hotfire.hidden import Hidden

SECRET = "Hunter2/hunter2+=é"


@pytest.mark.parametrize(
    "said",
    [
        SECRET,
        SECRET.lower(),
        SECRET.upper(),
        quote(SECRET, safe=""),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(SECRET.encode()).decode().rstrip("="),
    ],
)
def test_every_form_of_a_secret_is_masked(said: str) -> None:
    text = Hidden([SECRET], mask="***").without(f"you said {said}, did you?")

    assert text.replace("=", "") == "you said ***, did you?"


def test_the_beginning_of_a_secret_is_masked_where_a_text_was_cut() -> None:
    assert Hidden(["0123456789"], mask="***").without("wrong key 01234") == "wrong key ***"
    assert Hidden(["0123456789"], mask="***").without("wrong key 012") == "wrong key 012"


def test_a_kept_secret_is_in_nothing_that_is_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "_KNOWN", set())
    monkeypatch.setattr(evidence, "_hidden", Hidden((), mask=""))
    keep_secret("a-word-of-mine", "abc")

    told = redact({"headers": {"x-echo": "for=A-WORD-OF-MINE"}, "a-word-of-mine": ["abc"]})

    assert told == {"headers": {"x-echo": "for=[redacted]"}, "[redacted]": ["abc"]}


@pytest.mark.parametrize(
    "text",
    [
        "http://h/v1?api_key=hunter2hunter2",
        "http://h/v1?a=b&access_token=hunter2hunter2#x",
        "Authorization: Basic " + base64.b64encode(b"me:hunter2hunter2").decode(),
        "redis://:hunter2hunter2@store",
    ],
)
def test_secrets_in_addresses_and_basic_authentication_are_masked(text: str) -> None:
    told = str(redact(text))

    assert "hunter2" not in told
    assert base64.b64encode(b"me:hunter2hunter2").decode() not in told
    assert "[redacted]" in told


@pytest.mark.parametrize("name", ["author", "max-tokens", "x-tenant", "accept", "x-route"])
def test_ordinary_names_are_no_secrets(name: str) -> None:
    assert not names_a_secret(name)


@pytest.mark.parametrize(
    "again",
    [
        *("eyJ", "eyJabcdefgh.", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "://a:"),
        *("?key=key&", "bearer ", "basic aGVsbG86d29ybGQ ", "sk-aaaaaaaaaaaa", "AAAA "),
    ],
)
def test_redaction_takes_time_in_proportion_to_the_text(again: str) -> None:
    began = time.process_time()
    redact(again * (250_000 // len(again)))

    # Quadratic, the least of them would take half a minute.
    assert time.process_time() - began < 2.5


def test_what_is_nested_too_deep_is_cut_and_half_a_pair_is_escaped() -> None:
    deep: object = "\ud83d"
    for _ in range(900):
        deep = [deep]

    assert "nested deeper than 100 levels" in str(redact(deep))
    assert redact("\ud83d") == "\\ud83d"
