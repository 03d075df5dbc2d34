"""Settings of these tests: how long one example takes says nothing on a busy machine, so no deadline."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
