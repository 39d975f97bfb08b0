"""The request that is being answered, for the log and for problems: whoever writes one is handed no request."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from cmf_api.told import Told

CURRENT: Final[ContextVar[Told | None]] = ContextVar("cmf_request", default=None)
"""Set for everything that is done for a request, in threads too."""
