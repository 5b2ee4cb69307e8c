"""A requirement is refused unless it says what, why and where from."""

import pytest

from hotfire import Level, Requirement, requirement

PROSE = """A stream ends with the sentinel.

Clients hang
without it.
"""


def test_prose_splits_into_statement_and_rationale() -> None:
    mark = requirement("API-003", Level.MUST, PROSE, source="https://x", features={"streaming"})

    claim = mark.args[0]

    assert isinstance(claim, Requirement)
    assert claim.statement == "A stream ends with the sentinel."
    assert claim.rationale == "Clients hang without it."
    assert claim.features == {"streaming"}


@pytest.mark.parametrize("prose", [None, "", "Only a statement.", "\n\n\n"])
def test_missing_prose_is_a_usage_error(prose: str | None) -> None:
    with pytest.raises(pytest.UsageError, match="API-003: the prose must give"):
        requirement("API-003", Level.MUST, prose, source="https://x")


@pytest.mark.parametrize("id_", ["", "API", "api-003", "API-3", "API-0033", "-003", "API_003"])
def test_malformed_id_is_a_usage_error(id_: str) -> None:
    with pytest.raises(pytest.UsageError, match="must look like"):
        requirement(id_, Level.MUST, PROSE, source="https://x")


def test_missing_source_is_a_usage_error() -> None:
    with pytest.raises(pytest.UsageError, match="source"):
        requirement("FLT-POD-001", Level.MUST, PROSE, source="")
