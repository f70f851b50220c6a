"""One HTML page a result, from what its JSON file holds.

Measured values are objects `{value, low, high, n}` (95 % interval) or `{value: null, reason}`; a null appears with its reason
wherever the value would have stood.
"""

from .claims import claim_page, claims_page
from .experiment import dissociation_page
from .values import ReportError

__all__ = ["ReportError", "claim_page", "claims_page", "dissociation_page"]
