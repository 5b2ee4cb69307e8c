"""A long build says how far it is: by one line that moves, or by lines where nothing can move."""

import pytest

from hotfire.lab.shape import progress as progress_module
from hotfire.lab.shape.outlook import Outlook
from hotfire.lab.shape.progress import Progress
from hotfire.waiting import until

KNOWN = {"etcd": 30.0, "kubernetes": 400.0, "model": 50.0}


class Clock:
    """Time that passes when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outlook(clock: Clock) -> Outlook:
    return Outlook(KNOWN, clock)


def test_at_the_start_all_of_the_known_time_is_left(outlook: Outlook) -> None:
    outlook.begin("etcd")

    assert outlook.words() == "part 1 of 3, about 8 min left"


def test_time_spent_on_a_part_is_no_longer_left(outlook: Outlook, clock: Clock) -> None:
    outlook.begin("etcd")
    clock.now = 20.0

    assert outlook.left() == pytest.approx(460.0)


def test_slower_machine_has_more_left(outlook: Outlook, clock: Clock) -> None:
    outlook.begin("etcd")
    clock.now = 60.0
    outlook.end("etcd")
    outlook.begin("kubernetes")

    assert outlook.left() == pytest.approx(900.0)


def test_part_that_takes_longer_than_known_leaves_only_the_others(
    outlook: Outlook, clock: Clock
) -> None:
    outlook.begin("kubernetes")
    clock.now = 5000.0

    assert outlook.left() == pytest.approx(80.0)


class Page:
    """What was said, line by line, and what the moving line showed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.moved: list[str] = []


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setattr(progress_module, "_MOVE_SECONDS", 0.01)
    return Page()


def build(progress: Progress, page: Page, *, moves: int) -> None:
    with progress.course(KNOWN):
        for name in KNOWN:
            with progress.part(name), progress.step(f"building {name}"):
                until(lambda: len(page.moved) >= moves, within_seconds=10, what="a line that moves")


def test_on_a_terminal_a_course_is_one_line_that_moves_and_one_at_the_end(page: Page) -> None:
    build(Progress(page.lines.append, page.moved.append), page, moves=3)

    assert [line.split("  ")[-1] for line in page.lines] == ["3 parts in 0 s"]
    assert page.moved[0] == "building etcd (part 1 of 3, about 8 min left)"
    assert page.moved[2].endswith("left): 0 s")
    assert page.moved[-1] == ""


def test_elsewhere_each_step_is_announced_and_ended_by_a_line(page: Page) -> None:
    build(Progress(page.lines.append), page, moves=0)

    assert len(page.lines) == 7
    assert page.lines[0].endswith("building etcd (part 1 of 3, about 8 min left) ...")
    assert page.lines[1].endswith("building etcd: done in 0.0 s")


def test_step_that_fails_leaves_a_line_and_clears_the_moving_one(page: Page) -> None:
    with (
        pytest.raises(OSError, match="full"),
        Progress(page.lines.append, page.moved.append).step("building etcd"),
    ):
        raise OSError("full")

    assert "building etcd: stopped after" in page.lines[0]
    assert page.moved[-1] == ""
