"""Any other engine: what speaks the API, and of whose metrics nothing is known.

Source: none; what every OpenAI-compatible server has
"""

from typing import Final

from hotfire.engines.dialect import Dialect

DIALECT: Final = Dialect(
    port=8000,
    health_path="/health",
    ready_path="/v1/models",
)
