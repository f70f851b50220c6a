"""One HTML page a run, and the short table beside it, from what `report.json` holds; nothing of ours is imported.

Its measured values are objects `{value, low, high, n}` (95 % interval) or `{value: null, reason}`; a null appears with
its reason wherever the value would have stood.
"""

from .crossed import crossed_frames, effects_frame
from .frames import layers_frame, retained_frame, rises_frame, summary_frame
from .page import page
from .values import ReportError

__all__ = [
    "ReportError",
    "crossed_frames",
    "effects_frame",
    "layers_frame",
    "page",
    "retained_frame",
    "rises_frame",
    "summary_frame",
]
