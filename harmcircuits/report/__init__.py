"""One HTML page a run, and the short table beside it, from what `report.json` holds; nothing of ours is imported.

Its measured values are objects `{value, low, high, n}` (95 % interval) or `{value: null, reason}`; a null appears with
its reason wherever the value would have stood.
"""

from .frames import retained_frame, rises_frame, summary_frame
from .page import page
from .values import ReportError

__all__ = ["ReportError", "page", "retained_frame", "rises_frame", "summary_frame"]
