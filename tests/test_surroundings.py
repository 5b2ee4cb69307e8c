"""A machine that disturbs a load process is caught at it, on the real kernel where possible."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hotfire.traffic.wire import surroundings
from hotfire.traffic.wire.clock import clock_offset_ns
from hotfire.traffic.wire.surroundings import Busiest, Surroundings

QUOTA_ROOT = Path("/sys/fs/cgroup/cpu")
# A quota below the kernel's time slice: it holds back whatever else this machine does meanwhile.
QUOTA_US, BURN_SECONDS = 2000, 0.06
BURN = """
import json, os, sys, time
from dataclasses import asdict
from pathlib import Path
from hotfire.traffic.wire.surroundings import Surroundings
for group in sys.argv[2:]:
    Path(group, "cgroup.procs").write_text(str(os.getpid()))
watch = Surroundings()
end = time.process_time() + float(sys.argv[1])
while time.process_time() < end:
    pass
print(json.dumps(asdict(watch.disturbance())))
"""


def burn(*groups: Path) -> dict[str, float | None]:
    """Return what a process that joins control groups and computes learns of its surroundings."""
    command = [sys.executable, "-c", BURN, str(BURN_SECONDS), *map(str, groups)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    document: dict[str, float | None] = json.loads(done.stdout)
    return document


@pytest.mark.skipif(os.geteuid() != 0 or not QUOTA_ROOT.is_dir(), reason="needs root, cgroup v1")
def test_a_cpu_quota_is_noticed_in_the_process_it_holds_back() -> None:
    group = QUOTA_ROOT / f"hotfire-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cpu.cfs_quota_us").write_text(str(QUOTA_US))
        seen = burn(group)
    finally:
        group.rmdir()

    assert (seen["throttled_count"] or 0) > 3
    assert (seen["throttled_seconds"] or 0) > 0.3


def test_without_a_quota_nothing_is_held_back() -> None:
    assert burn()["throttled_count"] in {0, None}


@pytest.mark.parametrize(
    ("text", "length_ns"),
    [
        ("nr_periods 9\nnr_throttled 4\nthrottled_time 5000\n", 5000),
        ("usage_usec 1\nnr_periods 9\nnr_throttled 4\nthrottled_usec 5\n", 5000),
    ],
    ids=["v1", "v2"],
)
def test_both_hierarchies_are_read(tmp_path: Path, text: str, length_ns: int) -> None:
    (tmp_path / "cpu.stat").write_text(text)

    assert surroundings.throttled([tmp_path / "cpu.stat"]) == (4, length_ns)


def test_a_machine_that_does_not_tell_is_not_taken_for_a_calm_one(tmp_path: Path) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 1\n")

    assert surroundings.throttled([tmp_path / "cpu.stat", tmp_path / "none"]) is None
    assert Surroundings(groups=[]).disturbance().throttled_seconds is None


def test_a_quota_on_a_group_above_counts_too() -> None:
    found = [path.parent for path in surroundings._with_parents(Path("/c"), "/a/b")]

    assert found == [Path("/c/a/b"), Path("/c/a"), Path("/c")]


def test_a_clock_that_jumps_between_two_looks_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Surroundings()
    jumped = "hotfire.traffic.wire.surroundings.clock_offset_ns"
    monkeypatch.setattr(jumped, lambda: clock_offset_ns() + 80_000_000)

    assert watch.disturbance().clock_step_seconds == pytest.approx(0.08, abs=0.005)


def test_a_clock_that_runs_on_shows_no_step() -> None:
    assert Surroundings().disturbance().clock_step_seconds < 0.005


def used(*stretches: tuple[float, float]) -> Busiest:
    """Return what is known after stretches of (seconds, CPU ratio), five looks a second."""
    busiest, now, cpu = Busiest(), 0, 0.0
    busiest.note(0, 0)
    for seconds, ratio in stretches:
        for _ in range(round(seconds * 5)):
            now, cpu = now + 200_000_000, cpu + 200_000_000 * ratio
            busiest.note(now, round(cpu))
    return busiest


@pytest.mark.parametrize(
    "stretches",
    [[(10, 0.95), (30, 0)], [(60, 0.01), (5, 0.95), (60, 0.01)]],
    ids=["a long drain", "one busy step"],
)
def test_a_quiet_time_does_not_hide_a_busy_one(stretches: list[tuple[float, float]]) -> None:
    assert used(*stretches).ratio == pytest.approx(0.95)


def test_a_busy_moment_counts_by_its_share_of_five_seconds() -> None:
    assert used((10, 0.1), (1, 0.9), (10, 0.1)).ratio == pytest.approx((4 * 0.1 + 0.9) / 5)


def test_a_short_load_is_judged_by_itself() -> None:
    busiest = used((2, 0.95))
    busiest.take()

    assert busiest.ratio == pytest.approx(0.95)
