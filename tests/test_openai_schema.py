"""Whatever a target sends is a deviation in words, never an exception."""

import pytest

from hotfire.openai_schema import stream_problems


@pytest.mark.parametrize("event", ["7", "null", "[]", '"text"', "true", "[" * 100_000])
def test_event_of_another_shape_is_a_deviation(event: str) -> None:
    found = stream_problems([event, "[DONE]"], max_tokens=4)

    assert any(one.startswith("an event is n") for one in found)
