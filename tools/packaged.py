"""Whether a wheel and a source distribution hold the whole package, and nothing beside it.

    python tools/packaged.py dist

The files below harmcircuits/ in each are compared with those in this folder.
"""

import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
PACKAGE = "harmcircuits"


class PackagingError(ValueError):
    """A distribution lacks files of the package, or has others; the message names them."""


def of_tree(root: Path) -> set[str]:
    """The package's files, below `root`."""
    files = (path.relative_to(root) for path in (root / PACKAGE).rglob("*") if path.is_file())
    return {path.as_posix() for path in files if "__pycache__" not in path.parts}


def of_wheel(path: Path) -> set[str]:
    """All that a wheel installs but its own metadata."""
    with zipfile.ZipFile(path) as wheel:
        return {name for name in wheel.namelist() if not PurePosixPath(name).parts[0].endswith(".dist-info")}


def of_sdist(path: Path) -> set[str]:
    """The files of a source distribution, below its one folder."""
    with tarfile.open(path) as sdist:
        return {PurePosixPath(*PurePosixPath(member.name).parts[1:]).as_posix() for member in sdist if member.isfile()}


def check(folder: Path, root: Path = ROOT) -> tuple[Path, Path]:
    """The wheel and the source distribution in `folder`, which hold the package's files as they are below `root`.

    Raises:
        PackagingError: there is not one of each, or one lacks a file or has one too many.
    """
    wheel, sdist = _single(folder, "*.whl"), _single(folder, "*.tar.gz")
    tree = of_tree(root)
    for path, files in (
        (wheel, of_wheel(wheel)),
        (sdist, {name for name in of_sdist(sdist) if name.startswith(f"{PACKAGE}/")}),
    ):
        if lacking := sorted(tree - files):
            raise PackagingError(f"{path.name} lacks {', '.join(lacking)}: name it in package-data in pyproject.toml.")
        if beside := sorted(files - tree):
            raise PackagingError(f"{path.name} holds {', '.join(beside)} too: remove build/ and *.egg-info, and build again.")
    return wheel, sdist


def _single(folder: Path, pattern: str) -> Path:
    files = sorted(folder.glob(pattern))
    if len(files) != 1:
        raise PackagingError(f"{folder} holds {len(files)} files {pattern}, and one is expected: empty it, and build again.")
    return files[0]


if __name__ == "__main__":
    try:
        for built in check(Path(sys.argv[1])):
            sys.stdout.write(f"{built}: all {len(of_tree(ROOT))} files of the package\n")
    except PackagingError as error:
        sys.exit(str(error))
