"""Which line of TransformerLens the tests run on."""

from importlib.metadata import version


def lens_line() -> int:
    """The major version of the installed TransformerLens: 4, or 3, which has `HookedTransformer` too."""
    return int(version("transformer-lens").split(".")[0])
