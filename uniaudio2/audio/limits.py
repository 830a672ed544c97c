"""How long audio may be, in seconds."""

from __future__ import annotations

MAX_DURATION_S = 3600.0
"""Of what is in memory as a whole."""
LONGEST_STREAM_S = 86_400.0
"""Of what goes through memory block by block."""
