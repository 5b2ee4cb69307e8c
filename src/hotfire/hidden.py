"""Redaction: known secrets are taken out of texts, in whatever form a peer repeats them."""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

_TELLTALE: Final = 4
"""Characters from which on the beginning of a secret is hidden at the end of a cut text."""
SHORTEST: Final = 4
"""Characters of a secret below which its value would be found in any text."""


class Hidden:
    """Some secrets in every form in which a peer may say them back: case, quoting, base64."""

    def __init__(self, values: Iterable[str], *, mask: str) -> None:
        """Take the secrets; ``mask`` stands in their place."""
        self._mask = mask
        self._forms = sorted({form for value in values for form in _forms(value)}, key=len)[::-1]
        self._beginnings = frozenset(
            form[:length] for form in self._forms for length in range(_TELLTALE, len(form))
        )
        self._longest = max(map(len, self._forms), default=0)
        alternatives = "|".join(map(re.escape, self._forms))
        self._anywhere = re.compile(alternatives, re.IGNORECASE) if self._forms else None

    def __bool__(self) -> bool:
        return bool(self._forms)

    def without(self, text: str) -> str:
        """Return the text without them, and without the beginning of one at a cut end."""
        if self._anywhere is None:
            return text
        return self._cut_end(self._anywhere.sub(lambda _: self._mask, text))

    def _cut_end(self, text: str) -> str:
        end = text[-self._longest :].lower()
        for start in range(len(end) - _TELLTALE + 1):
            if end[start:] in self._beginnings:
                return text[: len(text) - len(end) + start] + self._mask
        return text


def _forms(value: str) -> Iterator[str]:
    """Yield a secret in lower case as it is, as JSON, a URL and Basic authentication have it."""
    encoded = base64.b64encode(value.encode(errors="replace")).decode()
    spoken = {value, json.dumps(value)[1:-1], quote(value, safe=""), quote_plus(value), encoded}
    # Without the padding: what follows the secret in the same text decides about that.
    spoken.add(encoded.rstrip("="))
    for form in spoken:
        if form.strip():
            yield form.lower()
