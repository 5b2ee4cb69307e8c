"""What others say is seen, and does nothing."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from hotfire.shown import one_line, shown
from hotfire.terminal import Terminal


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("plain, with ümlauts, 语言 and 🙂", "plain, with ümlauts, 语言 and 🙂"),
        ("\x1b[2Kpassed\x07", "\\u001b[2Kpassed\\u0007"),
        ("\x9b31m", "\\u009b31m"),
        ("safe\u202egnp.exe", "safe\\u202egnp.exe"),
        ("two\u2028lines\nand\tmore", "two\\u2028lines\\u000aand\\u0009more"),
        ("half \ud83d", "half \\ud83d"),
        ("tag \U000e0041", "tag \\udb40\\udc41"),
    ],
)
def test_what_would_not_be_seen_is_escaped(said: str, seen: str) -> None:
    assert shown(said) == seen


@given(st.text())
def test_everything_shown_is_printable_and_shown_again_the_same(said: str) -> None:
    assert shown(said).isprintable()
    assert shown(shown(said)) == shown(said)


@given(st.recursive(st.text() | st.integers(), st.lists))
def test_json_stays_the_same_json(document: object) -> None:
    text = json.dumps(document, ensure_ascii=False, indent=1)

    assert json.loads(shown(text, keep="\n")) == document


def test_one_line_is_one_line() -> None:
    assert one_line("a\n b\r\nc\x1b") == "a b c\\u001b"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_no_sequence_of_others_gets_through_a_terminal(is_terminal: bool) -> None:
    written = io.StringIO()
    console = Terminal(file=written, force_terminal=is_terminal, width=80, color_system=None)
    table = Table()
    table.add_row("\x1b[2Kcell")

    console.print(Text("\x1b]52;c;aGk=\x07line\u202e"))
    console.print(table)

    # rich drops a bell by itself, and cuts a cell to the width of what it was.
    assert "\\u001b]52;c;aGk=line\\u202e" in written.getvalue()
    assert not {"\x1b", "\x07", "\u202e"} & set(written.getvalue())
