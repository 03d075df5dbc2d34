"""The one clock. `now()` is UTC-aware; pure code takes it as an argument.

`BRIEFWIRE_CLOCK_OFFSET_S` shifts it, so that a stepping clock can be rehearsed.
"""

from __future__ import annotations

import datetime as dt
import os

_OFFSET = dt.timedelta(seconds=float(os.environ.get("BRIEFWIRE_CLOCK_OFFSET_S", "0")))


def now() -> dt.datetime:
    """The present instant, UTC-aware."""
    return dt.datetime.now(dt.UTC) + _OFFSET
