"""What grows from round to round is seen at a glance; one round has no such table."""

from hotfire.outcome import outcomes
from hotfire.requirement import Level
from hotfire.rundir import Result
from hotfire.verdict import Verdict
from reports._rounds import COLUMNS, rounds


def fired(id_: str, number: int, **figures: float) -> Result:
    return Result(
        id=id_, level=Level.MUST, statement="s", rationale="r", source="x", kind="fault",
        area="pods", case=f"t[{id_}-r{number}]", nodeid=f"x::t[{id_}-r{number}]",
        verdict=Verdict.PASSED, reason="kept", seconds=1, figures=dict(figures),
    )  # fmt: skip


def test_every_fault_has_a_line_in_every_round() -> None:
    found = outcomes(
        [
            fired(name, number, engines_memory_bytes=number * 1e8, longest_stall_seconds=0.2)
            for name in ("FLT-POD-001", "FLT-NET-001")
            for number in (1, 2)
        ]
    )

    told = [one.cells for one in rounds(found)]

    assert [(cells[0], cells[1]) for cells in told] == [
        ("1", "FLT-NET-001"), ("1", "FLT-POD-001"), ("2", "FLT-NET-001"), ("2", "FLT-POD-001"),
    ]  # fmt: skip
    assert told[2][3] == "200"
    assert {len(cells) for cells in told} == {len(COLUMNS)}


def test_what_nobody_measured_is_a_dash() -> None:
    found = outcomes([fired("FLT-POD-001", number) for number in (1, 2)])

    assert rounds(found)[0].cells[3:] == ("-",) * 6


def test_one_round_makes_no_table() -> None:
    assert rounds(outcomes([fired("FLT-POD-001", 1)])) == []
