"""How far back a log reaches, and whether that is as declared."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from fixtures.kept_logs import Ends, Log
from hotfire.errors import HarnessError
from hotfire.upkeep import KeptLog
from suites.security.test_logs_are_kept_as_long_as_declared import broken_promise, check_control

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def reaching(seconds: float) -> Ends:
    return Ends(NOW - timedelta(seconds=seconds), NOW)


def log(*ends: str) -> Log:
    declared = KeptLog(ends=list(ends), kept_seconds=60)
    return Log(name="audit", declared=declared, began=NOW, add=lambda: None)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (59, "its oldest entry is 59 s old, and is to be kept for 60 s"),
        (60, ""),
        (90, ""),
        (91, "its oldest entry is 91 s old, and is to be gone after 90 s"),
    ],
)
def test_log_is_to_reach_back_so_far_and_no_further(seconds: float, told: str) -> None:
    assert broken_promise(reaching(seconds), kept_seconds=60, gone_seconds=90) == told


def test_log_may_reach_back_for_ever_where_nothing_else_is_declared() -> None:
    assert broken_promise(reaching(1e9), kept_seconds=60) == ""


def test_log_without_any_length_cannot_show_that_the_check_can_fail() -> None:
    check_control("audit", reaching(60))
    with pytest.raises(HarnessError, match="longer or shorter"):
        check_control("audit", reaching(0))


def test_ends_are_what_the_command_prints() -> None:
    found = log("printf", "%s\n", "2026-11-30T11:59:00.123456789Z", "2026-11-30T13:00:00+01:00")

    assert found.ends().seconds == pytest.approx(60, abs=1)


@pytest.mark.parametrize("said", ["", "2026-11-30T11:59:00Z", "yesterday today", "2026-11-30 now"])
def test_command_that_says_something_else_is_trouble_of_ours(said: str) -> None:
    with pytest.raises(HarnessError, match=r"upkeep\.logs\.audit: printf was to print two times"):
        log("printf", said).ends()


def test_log_that_is_not_written_any_more_is_no_log() -> None:
    still = log("printf", "2026-11-30T11:00:00Z\n2026-11-30T12:00:00Z")

    with pytest.raises(HarnessError, match="an entry of ours in audit"):
        still.living(within_seconds=0.1)


def test_entries_are_gone_only_after_they_were_kept() -> None:
    with pytest.raises(ValidationError, match="gone_seconds must be more than kept_seconds"):
        KeptLog(ends=["true"], kept_seconds=60, gone_seconds=60)
