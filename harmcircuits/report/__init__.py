"""One HTML page a run, and the short table beside it, from what `report.json` holds; nothing of ours is imported.

Its measured values are objects `{value, low, high, n}` (95 % interval) or `{value: null, reason}`; a null appears with
its reason wherever the value would have stood.
"""

from .crossed import crossed_frames, effects_frame
from .frames import retained_frame, rises_frame, summary_frame
from .kinds import PRINTED, checked_report
from .page import page
from .values import ReportError

__all__ = [
    "PRINTED",
    "ReportError",
    "checked_report",
    "crossed_frames",
    "effects_frame",
    "page",
    "retained_frame",
    "rises_frame",
    "summary_frame",
]
