"""What users and CI install: the package's files in both distributions, what it declares, and the locks."""

import ast
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path, PurePosixPath
from typing import Any

import packaged
import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

tomllib = pytest.importorskip("tomllib", reason="Python 3.11 or newer reads pyproject.toml")
ROOT = Path(__file__).parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCKS = {"ci.txt": 4, "ci-tl3.txt": 3}
"""The line of TransformerLens in each."""
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
BESIDE = ["README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "MANIFEST.in", "pyproject.toml"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both distributions, the wheel built from the unpacked source distribution, as `python -m build` does."""
    here = tmp_path_factory.mktemp("tree")
    dist, unpacked = here / "dist", here / "unpacked"
    shutil.copytree(ROOT / "harmcircuits", here / "harmcircuits", ignore=shutil.ignore_patterns("__pycache__"))
    (here / "tests").mkdir()
    for name in [*BESIDE, "tests/test_packaging.py"]:
        shutil.copy(ROOT / name, here / name)
    _build("sdist", here, dist)
    with tarfile.open(next(dist.glob("*.tar.gz"))) as sdist:
        sdist.extractall(unpacked, filter="data")
    _build("wheel", next(unpacked.iterdir()), dist)
    return dist


def _build(kind: str, folder: Path, dist: Path) -> None:
    call = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", call, str(dist)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_both_distributions_hold_every_file_of_the_package(built: Path) -> None:
    wheel, sdist = packaged.check(built, ROOT)
    assert packaged.of_wheel(wheel) == packaged.of_tree(ROOT)
    others = {name for name in packaged.of_sdist(sdist) if not re.match(r"harmcircuits(\.egg-info)?/", name)}
    assert others == {*BESIDE, "PKG-INFO", "setup.cfg"}, "tests need this repository, and half of them are of no use"


def test_what_the_package_imports_is_declared() -> None:
    project = PYPROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {canonicalize_name(Requirement(one).name) for group in groups for one in group}
    owners = packages_distributions()
    for path in sorted((ROOT / "harmcircuits").rglob("*.py")):
        for name in set(_imported(path)) - {"harmcircuits", "datasets", *sys.stdlib_module_names}:  # trl's own
            if name in owners:  # trl and peft need not be installed
                assert {canonicalize_name(owner) for owner in owners[name]} & declared, f"{path.name} imports {name}"


def _imported(path: Path) -> Iterator[str]:
    """The outermost packages, without relative imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]


def locked(lock: str) -> list[tuple[Requirement, list[str]]]:
    """Each requirement of a lock, with its hashes."""
    lines = (ROOT / "requirements" / lock).read_text("utf-8").replace("\\\n", " ").splitlines()
    parts = [line.split(" --hash=") for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return [(Requirement(name.strip()), [one.strip() for one in hashes]) for name, *hashes in parts]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_is_exact_hashed_and_of_no_one_machine(lock: str) -> None:
    for one, hashes in locked(lock):
        assert [part.operator for part in one.specifier] == ["=="], one
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes), one
        assert not re.match(r"torch|triton|nvidia|cuda", one.name), f"{one} comes with torch, which is as each machine has it"
    text = (ROOT / "requirements" / lock).read_text("utf-8")
    assert not re.search(r"://|file:|--(extra-)?index|--find-links|(^|\s)/", text, re.M), "a host or a path of one machine"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_satisfies_the_package_on_each_python(lock: str, python: str) -> None:
    environment = default_environment() | {"python_version": python, "python_full_version": f"{python}.9"}
    holds = lambda one: one.marker is None or one.marker.evaluate(environment | {"extra": ""})
    chosen = {one.name: Version(next(iter(one.specifier)).version) for one, _ in locked(lock) if holds(one)}
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    for one in map(Requirement, [*project["dependencies"], *extras["dev"], *extras["docs"]]):
        if one.name != "torch" and holds(one):
            assert one.specifier.contains(chosen[canonicalize_name(one.name)]), one
    assert chosen["transformer-lens"].major == LOCKS[lock]
    assert chosen["transformer-lens"] >= Version("3.9")


def test_the_locks_differ_in_what_the_line_needs_alone() -> None:
    four, three = ({str(one) for one, _ in locked(lock)} for lock in LOCKS)
    assert {PurePosixPath(re.split(r"[=<;]", one)[0]).name for one in four ^ three} <= {"transformer-lens", "better-abc"}
