"""Files of prompts and their records; benchmarks by name: the authors' files at a pinned revision, downloaded once."""

import csv
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from errno import ENAMETOOLONG
from hashlib import sha256
from http.client import HTTPException
from io import StringIO
from os import PathLike
from pathlib import Path
from urllib.request import urlopen

from .. import store
from .examples import PromptError

log = logging.getLogger(__name__)
SUFFIXES = (".csv", ".tsv", ".json", ".jsonl")
_GITHUB = "https://raw.githubusercontent.com"
_JAILBREAKBENCH = (
    "https://huggingface.co/datasets/JailbreakBench/JBB-Behaviors/resolve/886acc352a31533ffbcf4ef22c744658688086fc/data"
)
BENCHMARKS: Mapping[str, Mapping[str, str]] = {
    "advbench": {  # MIT, arXiv 2307.15043
        f"{_GITHUB}/llm-attacks/llm-attacks/098262edf85f807224e70ecd87b9d83716bf6b73/data/advbench/"
        "harmful_behaviors.csv": "6cd1a5c63c07610d7eb67307772ee5606017ee950b5770ab288a2c487489d3e1"
    },
    "harmbench": {  # MIT, arXiv 2402.04249
        f"{_GITHUB}/centerforaisafety/HarmBench/8e1604d1171fe8a48d8febecd22f600e462bdcdd/data/behavior_datasets/"
        "harmbench_behaviors_text_all.csv": "8d81accedd38eaaf8b760618622bb888417d1fd0c86eba65c427a16f1cbb4afc"
    },
    "jailbreakbench": {  # MIT, arXiv 2404.01318
        f"{_JAILBREAKBENCH}/harmful-behaviors.csv": "4a8ec6832056b631eb092dccc60d37a61c3d441268268888b3d006288afeffa1",
        f"{_JAILBREAKBENCH}/benign-behaviors.csv": "3cda234d21a991fa309bbfea4b6d9dae31ccdf8e9d452424b6a983e4fdc33468",
    },
    "strongreject": {  # MIT, arXiv 2402.10260
        f"{_GITHUB}/alexandrasouly/strongreject/f7cad6c17e624e21d8df2278e918ae1dddb4cb56/strongreject_dataset/"
        "strongreject_dataset.csv": "4dd70357e4ff8b5d0ba5ebafecab5d6dd5633ce8046e3dd1c8bd93e64de44381"
    },
    "xstest": {  # CC-BY-4.0, arXiv 2308.01263
        f"{_GITHUB}/paul-rottger/xstest/d7bb5bd738c1fcbc36edd83d5e7d1b71a3e2d84d/"
        "xstest_prompts.csv": "11783fb294ed017473ee53c207d71f2161c7672c8d0b037501e78387f801cb5a"
    },
}
"""Benchmarks that have a name: the SHA-256 of each file by its URL, which names a commit."""


def files_of(source: str | PathLike[str]) -> list[Path]:
    """Return the files of a benchmark that `source` names, downloaded on the first call; else those of a path.

    Raises:
        PromptError: no file; a benchmark without a network, and no file put there by hand; or a file with another digest.
    """
    if isinstance(source, str) and source in BENCHMARKS:
        folder = store.cache_dir() / "benchmarks" / source
        return [_verified(url, digest, folder / url.rpartition("/")[2]) for url, digest in BENCHMARKS[source].items()]
    path = Path(source).expanduser()
    try:
        files = [path] if path.is_file() else sorted(file for file in path.iterdir() if not file.name.startswith("."))
    except OSError as error:  # no such folder, or a request in the place of a path
        place = shown(path) if error.errno == ENAMETOOLONG else path.absolute()
        raise PromptError(
            f"{place}: no such file ({error.strerror}), and no benchmark ({', '.join(BENCHMARKS)}). Relative paths start from "
            "the working folder; load_prompts() gives the built-in prompts."
        ) from None
    readable = [file for file in files if file.suffix.lower() in SUFFIXES]
    if not readable:
        raise PromptError(f"{path.absolute()}: a file of prompts ends in {', '.join(SUFFIXES)}. Rename or convert it.")
    return readable


def _verified(url: str, digest: str, path: Path) -> Path:
    """`path`, once the file there has the digest; downloaded where there is none."""
    if path.exists():
        content = path.read_bytes()
    else:
        log.info("downloading %s, once", url)
        try:
            with urlopen(url, timeout=60) as response:
                content = response.read()
        except (OSError, HTTPException) as error:
            raise PromptError(
                f"{url} cannot be downloaded ({store.one_line(error)}). Check the network, or download it elsewhere and put it "
                f"at {path} (SHA-256 {digest})."
            ) from error
    if (actual := sha256(content).hexdigest()) != digest:
        raise PromptError(
            f"{path} is not the pinned file of {url}: its SHA-256 is {actual}, and {digest} is expected. Delete it, or look "
            "for a proxy in between."
        )
    if not path.exists():
        with store.atomic_file(path) as temporary:
            temporary.write_bytes(content)
    return path


def records(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield each record of a file with its place ("file.csv, line 3"). JSON may be a list of objects, or one object a line."""
    place = str(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
        if path.suffix.lower() in (".csv", ".tsv"):
            delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
            reader = csv.DictReader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
            for fields in reader:
                place, columns = f"{path}, line {reader.line_num}", reader.fieldnames or ()
                if None in fields or None in fields.values():
                    raise PromptError(
                        f"{place}: expected {len(columns)} columns ({names(columns)}). Quote a delimiter in a text."
                    )
                yield place, dict(fields)
            return
        whole = text.lstrip().startswith("[")
        for number, part in enumerate(json.loads(text) if whole else text.split("\n"), 1):  # splitlines breaks at U+2028 too
            place = f"{path}, {'entry' if whole else 'line'} {number}"
            value = part if whole else json.loads(part) if part.strip() else {}
            if not isinstance(value, dict):
                raise PromptError(f"{place}: expected a JSON object with named fields, found {type(value).__name__}.")
            if value:
                yield place, value
    except PromptError:
        raise
    except (OSError, ValueError, RecursionError, csv.Error) as error:  # ValueError also for numbers of thousands of digits
        cure = "It should be UTF-8: a table with a header, a list of JSON objects, or one object a line."
        raise PromptError(f"{place} cannot be read ({type(error).__name__}: {error}). {cure}") from None


def names(fields: Iterable[str]) -> str:
    return ", ".join(map(shown, list(fields)[:16]))


def shown(value: object) -> str:
    """A value for an error message, unless it is long enough to be a request (as in a file without a header)."""
    text = str(value)
    short = len(text.encode("utf-8", "replace")) <= 30 and len(text.split()) <= 3
    return repr(text) if short else f"<a text of {len(text)} characters>"
