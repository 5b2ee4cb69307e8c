"""What the check of declared alerts concludes from what Prometheus tells."""

import pytest

from fixtures.recorded import FaultWindow
from hotfire.prometheus import AlertRule, Prometheus, SeriesValue
from suites.observability.test_declared_alerts_fire_and_clear import Alert, Course

RULE = AlertRule(name="A", expression="x", for_seconds=10, interval_seconds=5, error="")


class Quiet(Prometheus):
    """Keeps no alert that ever fired."""

    def query(self, expression: str, *, at_seconds: float | None = None) -> list[SeriesValue]:
        del expression, at_seconds
        return []


@pytest.fixture
def alert() -> Alert:
    server = Quiet("http://127.0.0.1:1")
    return Alert(name="A", fault="F", rule=RULE, server=server, scrape_seconds=15)


def test_an_alert_has_a_scrape_its_own_time_and_two_evaluations(alert: Alert) -> None:
    assert alert.within_seconds == 15 + 10 + 2 * 5 + 5


def test_fault_that_was_over_too_soon_tells_nothing_of_an_alert(alert: Alert) -> None:
    short, long = (FaultWindow(injected_seconds=0, healed_seconds=end) for end in (30, 60))

    assert not alert.told_by(short)
    assert alert.told_by(long)


@pytest.mark.parametrize(
    ("during", "after", "said"),
    [
        (True, False, ""),
        (False, False, "A did not fire under F"),
        (True, True, "A still fires after F"),
    ],
)
def test_an_alert_must_fire_and_clear(during: bool, after: bool, said: str) -> None:
    found = Course(alert="A", fault="F", seen="", before=False, during=during, after=after)

    assert found.wrong == said
