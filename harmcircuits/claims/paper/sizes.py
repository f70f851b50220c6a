"""How large a quick run of all claims is, in one place."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...experiments.settings import ClaimSettings

TEST_TRIPLES = 16
QUICK: Mapping[str, Mapping[str, Any]] = {
    "generality": {"matched": 1},
    "distinct": {},
}
"""Options of each claim in a quick run."""


def quick_settings(*, seed: int = 0) -> ClaimSettings:
    """`ClaimSettings.quick` on 16 test triples."""
    return replace(ClaimSettings.quick(seed=seed), test_triples=TEST_TRIPLES)
