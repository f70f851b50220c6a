"""The lowest versions that pyproject.toml allows, as constraints for pip.

    python tools/lowest.py > lowest.txt
    pip install --constraint lowest.txt '.[dev]'

`name>=version` becomes `name==version`, for everything that the package, its extras and its build need. torch is left out: it
comes as each machine has it. Arguments are requirements that raise a bound: `tools/lowest.py 'transformer-lens>=4'`.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
LEFT_OUT = ("torch",)


class BoundError(ValueError):
    """A requirement does not say from which version on it holds; the message names it."""


def lowest(pyproject: Mapping[str, Any], raised: Sequence[str] = ()) -> list[str]:
    """One line `name==version` a package, with the requirement's marker, sorted.

    Args:
        pyproject: its tables.
        raised: requirements whose bounds stand in the place of pyproject's own.

    Raises:
        BoundError: a requirement has no `>=`, or a package has two bounds.
    """
    instead = {_name(one): one for one in map(Requirement, raised)}
    found: dict[str, str] = {}
    for one in requirements(pyproject):
        name = _name(one)
        if name in LEFT_OUT:
            continue
        line = f"{name}=={bound(instead.get(name, one))}" + (f"; {one.marker}" if one.marker else "")
        if found.setdefault(name, line) != line:
            raise BoundError(f"{name} is required twice, and not alike: {found[name]!r} and {line!r}: give both one bound.")
    return sorted(found.values())


def requirements(pyproject: Mapping[str, Any]) -> Iterator[Requirement]:
    """Of the build, of the package and of each extra."""
    project = pyproject["project"]
    for group in (pyproject["build-system"]["requires"], project["dependencies"], *project["optional-dependencies"].values()):
        yield from map(Requirement, group)


def bound(requirement: Requirement) -> Version:
    """The version after `>=`.

    Raises:
        BoundError: there is none, or more than one.
    """
    bounds = [Version(one.version) for one in requirement.specifier if one.operator == ">="]
    if len(bounds) != 1:
        raise BoundError(f"{requirement} has no lowest version: write {requirement.name}>=VERSION in pyproject.toml.")
    return bounds[0]


def _name(requirement: Requirement) -> str:
    return canonicalize_name(requirement.name)


if __name__ == "__main__":
    try:
        constraints = lowest(tomllib.loads(PYPROJECT.read_text("utf-8")), sys.argv[1:])
    except BoundError as error:
        sys.exit(str(error))
    sys.stdout.write("\n".join(constraints) + "\n")
