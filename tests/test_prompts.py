"""Prompts have the lengths, the shared prefixes and the turns that the plan asks for."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hotfire.errors import ProfileError
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.prompts import Lengths
from hotfire.traffic.workload.request import Requests
from hotfire.traffic.workload.texts import Texts
from hotfire.traffic.workload.trace import TraceRow


def plan(**values: Any) -> LoadPlan:  # noqa: ANN401 - any field of the plan
    return LoadPlan.model_validate({"url": "http://gateway:8080", "model": "tiny"} | values)


def sent(load: LoadPlan, prompt_id: int) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Requests(load).body(prompt_id))
    return document


def test_prompts_are_reproducible_and_share_no_prefix() -> None:
    loads = [plan(nonce="a"), plan(nonce="b")]
    prompts = [Texts(load).prompt(number) for load in loads for number in range(50)]

    assert Texts(loads[0]).prompt(7) == prompts[7]
    assert len({text.split()[0] for text in prompts}) == 100
    assert {len(text.split()) for text in prompts} == {33}


def test_a_chat_body_asks_for_a_stream_with_usage() -> None:
    document = json.loads(Requests(plan(max_tokens=9)).body(0))

    assert document["messages"] == [{"role": "user", "content": Texts(plan()).prompt(0)}]
    assert document["stream"] is True
    assert document["stream_options"] == {"include_usage": True}
    assert (document["max_tokens"], document["temperature"]) == (9, 0)
    assert document["ignore_eos"] is True


def test_extra_body_wins_and_a_completion_has_a_prompt() -> None:
    document = json.loads(
        Requests(plan(path="/v1/completions", extra_body={"temperature": 1})).body(3)
    )

    assert document["temperature"] == 1
    assert document["prompt"] == Texts(plan()).prompt(3)
    assert "ignore_eos" not in document


def test_the_request_is_whole() -> None:
    head, _, content = Requests(plan(headers={"X-Team": "a"})).bytes(0).partition(b"\r\n\r\n")

    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/chat/completions HTTP/1.1"
    assert {"host: gateway:8080", "accept-encoding: identity", "x-team: a"} <= set(lines)
    assert f"content-length: {len(content)}" in lines
    assert "connection: close" not in lines
    assert b"connection: close" in Requests(plan(connection="fresh")).bytes(0)


def test_uniform_lengths_are_uniform() -> None:
    load = plan(output_tokens={"distribution": "uniform", "least": 10, "most": 19})
    texts = Texts(load)

    seen = Counter(texts.max_tokens(number, texts.draws(number)) for number in range(5000))
    assert sorted(seen) == list(range(10, 20))
    assert scipy.stats.chisquare(list(seen.values())).pvalue > 0.01


def test_lognormal_lengths_have_their_median_and_spread() -> None:
    load = plan(input_words={"distribution": "lognormal", "typical": 300, "spread": 0.4})
    texts = Texts(load)

    seen = np.log([texts.words(number, texts.draws(number)) for number in range(4000)])
    assert scipy.stats.kstest(seen, scipy.stats.norm(np.log(300), 0.4).cdf).pvalue > 0.01
    assert len(texts.prompt(7).split()) == texts.words(7, texts.draws(7)) + 1


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_a_drawn_length_stays_within_its_ends(chance: float, other: float) -> None:
    lengths = Lengths(distribution="lognormal", typical=50, spread=3, least=20, most=80)

    assert 20 <= lengths.draw(chance, other) <= 80


def test_ends_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ValidationError, match="least 9 is above most 8; swap them"):
        Lengths(least=9, most=8)


def test_texts_of_a_file_come_in_turn(tmp_path: Path) -> None:
    (tmp_path / "texts").write_text('Why "is" it hot?\n{"prompt": "Zwölf\\nZeilen"}\n')
    load = plan(prompts={"file": tmp_path / "texts"})

    said = [sent(load, number)["messages"][0]["content"] for number in range(3)]
    assert said == ['Why "is" it hot?', "Zwölf\nZeilen", 'Why "is" it hot?']


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        (" \n\x0c\n", "is empty"),
        ('{"x": 1}', ":1: expected an object with the field prompt"),
        ('ok\n{"prompt": null}', ":2: expected .* not .*null"),
        ('{"prompt": 7}', ":1: expected .* a text, not the prompt 7"),
        ('{"prompt": ["a", "b"]}', ":1: expected .* a text, not the prompt"),
        ('{"prompt": {"a": 1}}', ":1: expected .* a text, not the prompt"),
        ('{"prompt": " "}', ":1: expected .* a text, not the prompt"),
        ('{"messages": [{"role": "user", "content": "hi"}]}', ":1: expected an object with"),
        ('{"custom_id": "1", "body": {}}', ":1: expected an object with the field prompt"),
        ('[{"conversations": [{"value": "hi"}]}]', "is one JSON list; write one .* jq -c"),
        ('[\n {"prompt": "hi"}\n]\n', "is one JSON list; write one object"),
        ('["a", "b"]\n["c"]\n', ":1: expected an object with the field prompt"),
        ('[{"conversations": [{"val', ":1 is not JSON"),
        ('{\n "prompt": "hi"\n}\n', ":1 is not JSON"),
        ("{really", r":1 is not JSON: .*; a text that begins so is written .*really"),
        (r'{"prompt": "\ud83d"}', ":1: the prompt holds half a surrogate pair"),
    ],
)
def test_a_bad_file_of_texts_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "texts").write_text(text)

    with pytest.raises(ProfileError, match=f"prompts.file: .*{complaint}"):
        plan(prompts={"file": tmp_path / "texts"}).self_contained()


@pytest.mark.parametrize("said", ["a\u2028b", "a\x85b", "a\x0cb", "a\nb", "\ufeffa", "[INST] a"])
def test_a_prompt_of_a_json_line_arrives_as_it_was_written(tmp_path: Path, said: str) -> None:
    line = json.dumps({"prompt": said}, ensure_ascii=False)
    (tmp_path / "texts").write_text(f"{line}\r\n{line}\n", encoding="utf-8", newline="")

    load = plan(prompts={"file": tmp_path / "texts"}).self_contained()

    assert load.prompts.texts == (said, said)


def test_a_shared_prefix_is_shared_within_its_group_and_no_further() -> None:
    load = plan(prompt_words=100, prompts={"prefix_ratio": 0.6, "prefix_groups": 3})
    prompts = [Texts(load).prompt(number).split() for number in range(60)]

    groups = Counter(" ".join(words[:61]) for words in prompts)
    assert len(groups) == 3
    assert len({words[0] for words in prompts}) == 3
    assert len({words[61] for words in prompts}) == 60
    assert {len(words) for words in prompts} == {102}


def test_a_wholly_shared_prompt_is_the_same_for_all() -> None:
    load = plan(prompts={"prefix_ratio": 1})

    assert len({Texts(load).prompt(number) for number in range(9)}) == 1


def test_hash_ids_of_a_trace_share_blocks() -> None:
    rows = [(0, 25, 3, (1, 2, 3)), (1, 30, 4, (1, 2, 4)), (2, 12, 5, (9, 2))]
    load = plan(process="trace", trace_rows=[TraceRow(*row) for row in rows], trace_block_tokens=10)
    said = [Texts(load).prompt(number) for number in range(3)]

    assert [len(text.split()) for text in said] == [25, 30, 12]
    assert said[0].split()[:20] == said[1].split()[:20]
    assert said[0].split()[20:] != said[1].split()[20:25]
    assert said[0].split()[0] != said[2].split()[0]
    assert [sent(load, number)["max_tokens"] for number in range(3)] == [3, 4, 5]


def test_a_turn_contains_the_former_ones() -> None:
    load = plan(prompts={"turns": 3, "conversations": 2}, max_tokens=5)
    # Two conversations alternate: 0, 2, 4 are the turns of one, 1, 3, 5 of the other.
    first, second, third = (sent(load, number)["messages"] for number in (1, 3, 5))

    assert [len(turn) for turn in (first, second, third)] == [1, 3, 5]
    assert second[:1] == first
    assert third[:3] == second
    assert [message["role"] for message in third] == ["user", "assistant"] * 2 + ["user"]
    assert len(third[1]["content"].split()) == 5
    assert sent(load, 0)["messages"] != first


def test_an_answer_bound_by_a_schema_may_end_by_itself() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    document = sent(plan(prompts={"json_schema": schema}), 0)

    assert document["response_format"]["json_schema"]["schema"] == schema
    assert "ignore_eos" not in document


def test_the_answer_of_an_echo_is_known() -> None:
    load = plan(prompts={"source": "echo"})
    document = sent(load, 4)

    expected = Texts(load).expected(4)
    assert expected
    assert document["messages"][0]["content"].split()[0] == expected
    assert "ignore_eos" not in document
    assert Texts(plan()).expected(4) is None


def test_tenants_send_by_weight_with_their_own_headers_and_model() -> None:
    tenants = [
        {"name": "gold", "weight": 3, "headers": {"X-Team": "g"}, "model": "large"},
        {"name": "rest"},
    ]
    load = plan(tenants=tenants)
    texts, requests = Texts(load), Requests(load)
    names = [texts.tenant(number) for number in range(2000)]

    assert scipy.stats.binomtest(names.count("gold"), 2000, 0.75).pvalue > 0.01
    gold = requests.bytes(names.index("gold"))
    assert b"x-team: g" in gold
    assert b'"model":"large"' in gold
    assert b"x-team" not in requests.bytes(names.index("rest"))


def test_a_whole_answer_is_asked_for_without_stream_options() -> None:
    document = sent(plan(stream=False), 0)

    assert document["stream"] is False
    assert "stream_options" not in document
    assert b"accept: application/json" in Requests(plan(stream=False)).bytes(0)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_each_prompt_has_a_nonce_of_its_own(one: int, other: int) -> None:
    texts = Texts(plan())

    assert (texts.prompt(one).split()[0] == texts.prompt(other).split()[0]) == (one == other)
