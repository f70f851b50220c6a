"""What lies in a folder."""

from pathlib import Path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
