"""Which line of TransformerLens the tests run on."""

from importlib.metadata import version

import pytest


def lens_line() -> int:
    """The major version of the installed TransformerLens: 4, or 3, which has `HookedTransformer` too."""
    return int(version("transformer-lens").split(".")[0])


needs_three = pytest.mark.skipif(lens_line() != 3, reason="HookedTransformer is in TransformerLens 3 only")
