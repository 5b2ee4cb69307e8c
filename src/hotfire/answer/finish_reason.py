"""Why an answer ended: the one list of finish reasons, for load, Endpoint and schema."""

from enum import StrEnum
from typing import Final


class FinishReason(StrEnum):
    """A ``finish_reason`` that engines send.

    Source: https://platform.openai.com/docs/api-reference/chat/object for those of a finished
    answer; ``abort`` and ``error`` are what vLLM and SGLang send for one that they gave up.
    """

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    FUNCTION_CALL = "function_call"
    ABORT = "abort"
    ERROR = "error"


GIVEN_UP: Final = frozenset({FinishReason.ABORT, FinishReason.ERROR})
FINISHED: Final = frozenset(FinishReason) - GIVEN_UP
"""Those of a whole answer. No client knows any other, so that it cannot mean a whole one."""
