"""GGUF model files, dequantised once into a transformers folder in the cache.

transformers reads a GGUF file in 25 to 100 seconds, each time, and refuses to save what it read. So it is read once,
its weights are put into the same class without the quantisation config, and that model is saved as safetensors.
"""

import hashlib
import logging
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader, GGUFValueType
from tokenizers.pre_tokenizers import ByteLevel, Digits, PreTokenizer, Sequence
from transformers import AutoModelForCausalLM, AutoTokenizer

from harmcircuits import store

from .architectures import unlike_header
from .fetch import LoadError
from .pretrained import pretrained

MANIFEST = "harmcircuits.json"
_FORMAT = 1  # part of the folder's name: raise it when what is saved changes
_LOG = logging.getLogger(__name__)


def dequantised_folder(name: str, sha256: str, gguf_file: Callable[[], Path]) -> Path:
    """The transformers folder, in the cache, of a GGUF file; made on the first call.

    The folder `models/NAME-DIGEST` holds config, float32 safetensors, tokenizer with chat template, and a manifest with
    the SHA-256 of each file. Each call checks small files in full and weights by their size and safetensors header; a
    damaged folder is deleted and made again, with a warning in the log.

    Args:
        name: begins the folder's name.
        sha256: the digest of the GGUF file.
        gguf_file: gives the GGUF file's path; called only if the folder has to be made.

    Raises:
        LoadError: transformers cannot read the GGUF file, or it holds another kind of model than can be studied here.
        StoreError: the cache cannot be written.
    """
    folder = store.cache_dir() / "models" / f"{name}-{store.digest([_FORMAT, sha256])[:12]}"
    if _damage(folder) is None:
        return folder
    with store.locked(folder):
        damage = _damage(folder)  # another process may have made it while we waited
        if damage is not None:
            store.remove_leftovers(folder)
            if folder.exists():
                _LOG.warning("%s is damaged (%s): it is deleted and made again", folder, damage)
                with store.storage_errors(folder):
                    shutil.rmtree(folder)
            _build(folder, name, sha256, gguf_file())
    return folder


def is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF files do."""
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def _build(folder: Path, name: str, sha256: str, gguf_file: Path) -> None:
    _LOG.info("dequantising %s into %s, once", gguf_file, folder)
    with store.atomic_folder(folder) as temporary:
        _save(gguf_file, temporary)
        for file in temporary.iterdir():  # safetensors writes for the owner alone; a shared cache is read by others
            file.chmod(temporary.stat().st_mode & 0o666)
        manifest = {
            "name": name,
            "gguf_sha256": sha256,
            "made_with": {package: version(package) for package in ("transformers", "gguf", "torch")},
            "files": {file.name: _entry(file) for file in sorted(temporary.iterdir())},
        }
        store.write_json(temporary / MANIFEST, manifest)


def _save(gguf_file: Path, folder: Path) -> None:
    """Reads the GGUF file with transformers and saves it as a plain float32 model with its tokenizer."""
    place, file = gguf_file.parent, gguf_file.name
    try:
        fields = GGUFReader(gguf_file).fields.items()
        header = {key: field.contents() for key, field in fields if field.types[0] != GGUFValueType.ARRAY}
        if why := unlike_header(header):
            raise LoadError(f"{gguf_file} {why}")
        tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=file, trust_remote_code=False)
        model = pretrained(AutoModelForCausalLM, place, gguf_file=file, dtype=torch.float32)
    except LoadError:
        raise
    except Exception as error:  # of a damaged file, transformers and gguf raise nearly every kind
        if isinstance(error, OSError) and error.errno is not None:  # the system's own: a full disk, say
            raise
        raise LoadError(
            f"{gguf_file}: transformers {version('transformers')} cannot read this GGUF file ({error}). "
            "Download it again if it may be damaged; otherwise use the model's transformers folder or hub id."
        ) from error
    if header.get("tokenizer.ggml.pre") == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = _digits_first()
    _plain_model(model).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _plain_model(model: Any) -> Any:
    """The same weights in the same class without the quantisation config, which `save_pretrained` refuses."""
    settings = {key: value for key, value in model.config.to_dict().items() if key != "quantization_config"}
    with torch.device("meta"):  # no second copy of the weights
        plain = type(model)(type(model.config).from_dict(settings))
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    return plain


def _digits_first() -> PreTokenizer:
    """How SmolLM's tokenizer splits text before merging, where transformers' GGUF reader takes another way.

    It splits digits off first, so that "\\n\\n1." begins with the token of two line ends, as in its training; the reader's
    byte-level splitting gives two tokens of one line end, on which the model does clearly worse.
    """
    return Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)])


def _entry(file: Path) -> dict[str, object]:
    entry: dict[str, object] = {"bytes": file.stat().st_size, "sha256": store.file_digest(file)}
    return {**entry, "header_sha256": _header_digest(file)} if file.suffix == ".safetensors" else entry


def _damage(folder: Path) -> str | None:
    """What is wrong with a folder that `_build` made; None if nothing is."""
    try:
        files = store.read_json(folder / MANIFEST)["files"]
        wrong = [name for name, entry in files.items() if not _agrees(folder / name, entry)]
    except (store.StoreError, FileNotFoundError, KeyError, TypeError, AttributeError) as error:
        return str(error)
    return f"{', '.join(wrong)}: size or content has changed" if wrong else None


def _agrees(file: Path, entry: dict[str, object]) -> bool:
    if file.stat().st_size != entry["bytes"]:
        return False
    if file.suffix == ".safetensors":  # hashing gigabytes at each load would take longer than the load
        return _header_digest(file) == entry["header_sha256"]
    return store.file_digest(file) == entry["sha256"]


def _header_digest(file: Path) -> str:
    """SHA-256 of a safetensors file's header: names, types, shapes and offsets of its tensors."""
    with file.open("rb") as stream:
        length = stream.read(8)
        return hashlib.sha256(length + stream.read(min(int.from_bytes(length, "little"), 1 << 27))).hexdigest()
