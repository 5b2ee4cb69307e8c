"""A step that fails ends itself and no other, and all are told at the end."""

import pytest

from hotfire.closing import Closing
from hotfire.errors import ClusterError, HarnessError


def test_every_step_is_done_and_each_failure_told() -> None:
    done = []

    def take_down() -> None:
        with Closing() as closing:
            with closing.step("the agents removed"):
                raise ClusterError("nobody answers")
            with closing.step("the load ended"):
                done.append("load")
            with closing.step("the folder removed"):
                raise OSError("busy")

    with pytest.raises(HarnessError) as told:
        take_down()

    assert done == ["load"]
    assert str(told.value) == (
        "not done: the agents removed: nobody answers; not done: the folder removed: busy"
    )


def test_nothing_is_told_where_all_went_well() -> None:
    with Closing() as closing, closing.step("the load ended"):
        pass

    assert closing.sound


def test_interruption_ends_the_whole() -> None:
    with pytest.raises(KeyboardInterrupt), Closing() as closing, closing.step("anything"):
        raise KeyboardInterrupt


def test_what_was_on_its_way_goes_before_what_could_not_be_done() -> None:
    def take_down() -> None:
        with Closing() as closing:
            with closing.step("the load ended"):
                raise OSError("busy")
            raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        take_down()
