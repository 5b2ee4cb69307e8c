"""The figure of a load fits its page, whatever the load brought."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from hotfire.measure.history import FailureClass
from reports._figure import figure
from tests.sample_run import requests

NARROW_PIXELS = 620
LETTER_PIXELS, LINE_PIXELS = 6.5, 15.6
"""A letter's mean width and a line's height, of Plotly's text at 12 pixels."""
PAPER = 0.7
"""Part of its height that a figure has on paper, with letters as large."""


def drawn(classes: int) -> Any:  # noqa: ANN401 - Plotly has no types
    """Return the figure of a load with so many classes of failure."""
    kinds = list(FailureClass)[:classes]
    rows = [replace(row, error_class=kinds[row.seq % classes]) for row in requests()]
    return figure(rows, [])


def headings(shown: Any) -> Iterator[list[str]]:  # noqa: ANN401
    """Yield the lines of each lane's heading, from the first lane on."""
    for note in shown.layout.annotations:
        if note.text.startswith("<b>"):
            yield [re.sub("<.*?>", "", line) for line in note.text.split("<br>")]


@pytest.mark.parametrize("classes", [1, 10, len(FailureClass)])
def test_the_key_of_the_failures_stays_inside_the_figure(classes: int) -> None:
    shown = drawn(classes)

    lines = [line for heading in headings(shown) for line in heading]
    assert sum("(" in line for line in lines) >= 1
    assert sum(line.count("■ ") for line in lines if "(" in line) == classes
    assert max(map(len, lines)) * LETTER_PIXELS <= NARROW_PIXELS


@pytest.mark.parametrize("height", [1.0, PAPER])
def test_the_key_of_ten_failures_lies_between_its_lane_and_the_one_above(height: float) -> None:
    shown = drawn(10)

    layout = shown.layout
    inner = (layout.height - layout.margin.t - layout.margin.b) * height
    lanes = [layout[f"yaxis{place or ''}"].domain for place in ("", 2, 3, 4)]
    gaps = [inner * (above[0] - lane[1]) for above, lane in pairwise(lanes)]
    needed = [2 + LINE_PIXELS * len(heading) for heading in headings(shown)][1:]
    assert max(needed) > 2 + LINE_PIXELS
    assert all(gap >= need for gap, need in zip(gaps, needed, strict=True))


def test_no_two_classes_of_failure_have_one_colour() -> None:
    bars = [trace for trace in drawn(len(FailureClass)).data if trace.type == "bar"]

    assert len({bar.marker.color for bar in bars}) == len(bars) == len(FailureClass)
