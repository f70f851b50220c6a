"""Where the cache folder is."""

import os
from pathlib import Path

CACHE_VARIABLE = "HARMCIRCUITS_CACHE"


def cache_place() -> Path:
    """Where the cache folder is, or would be."""
    chosen, base = os.environ.get(CACHE_VARIABLE), os.environ.get("XDG_CACHE_HOME", "")
    if chosen:
        return Path(chosen).expanduser().absolute()
    # the XDG specification says to ignore a relative path
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "harmcircuits"
