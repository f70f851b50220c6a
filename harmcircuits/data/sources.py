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
from ..errors import HarmcircuitsError, one_line

log = logging.getLogger(__name__)
SUFFIXES = (".csv", ".tsv", ".json", ".jsonl")
BENCHMARKS: Mapping[str, Mapping[str, str]] = {
    name: entry["files"] for name, entry in json.loads(Path(__file__).with_name("benchmarks.json").read_text("utf-8")).items()
}
"""The benchmarks that have a name: the SHA-256 of each file by its URL, which names a commit."""


def files_of(source: str | PathLike[str]) -> list[Path]:
    """Return the files of a benchmark, downloaded on the first call, or of a path.

    Raises HarmcircuitsError if there are none.
    """
    if isinstance(source, str) and source in BENCHMARKS:
        folder = store.cache_dir() / "benchmarks" / source
        return [_verified(url, digest, folder / url.rpartition("/")[2]) for url, digest in BENCHMARKS[source].items()]
    path = Path(source).expanduser()
    try:
        files = [path] if path.is_file() else sorted(file for file in path.iterdir() if not file.name.startswith("."))
    except OSError as error:  # no such folder, or a request in the place of a path
        place = shown(path) if error.errno == ENAMETOOLONG else path.absolute()
        raise HarmcircuitsError(
            f"{place}: no such file ({error.strerror}), and no benchmark ({', '.join(BENCHMARKS)}). Relative paths start from "
            "the working folder; load_prompts() gives the built-in prompts."
        ) from None
    readable = [file for file in files if file.suffix.lower() in SUFFIXES]
    if not readable:
        raise HarmcircuitsError(f"{path.absolute()}: a file of prompts ends in {', '.join(SUFFIXES)}. Rename or convert it.")
    return readable


def _verified(url: str, digest: str, path: Path) -> Path:
    """Return `path`, downloaded where it is missing, once its content has the digest."""
    if path.exists():
        content = path.read_bytes()
    else:
        log.info("downloading %s, once", url)
        try:
            with urlopen(url, timeout=60) as response:
                content = response.read()
        except (OSError, HTTPException) as error:
            raise HarmcircuitsError(
                f"{url} cannot be downloaded ({one_line(error)}). Check the network, or download it elsewhere and put it "
                f"at {path} (SHA-256 {digest})."
            ) from error
    if (actual := sha256(content).hexdigest()) != digest:
        raise HarmcircuitsError(
            f"{path} is not the pinned file of {url}: its SHA-256 is {actual}, and {digest} is expected. Delete it, or look "
            "for a proxy in between."
        )
    if not path.exists():
        with store.atomic_file(path) as temporary:
            temporary.write_bytes(content)
    return path


def records(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield each record with its place ("file.csv, line 3"). JSON may be a list of objects, or one object a line."""
    place = str(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
        if path.suffix.lower() in (".csv", ".tsv"):
            delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
            reader = csv.DictReader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
            for fields in reader:
                place, columns = f"{path}, line {reader.line_num}", reader.fieldnames or ()
                if None in fields or None in fields.values():
                    raise HarmcircuitsError(
                        f"{place}: expected {len(columns)} columns ({names(columns)}). Quote a delimiter in a text."
                    )
                yield place, dict(fields)
            return
        whole = text.lstrip().startswith("[")
        for number, part in enumerate(json.loads(text) if whole else text.split("\n"), 1):  # splitlines breaks at U+2028 too
            place = f"{path}, {'entry' if whole else 'line'} {number}"
            value = part if whole else json.loads(part) if part.strip() else {}
            if not isinstance(value, dict):
                raise HarmcircuitsError(f"{place}: expected a JSON object with named fields, found {type(value).__name__}.")
            if value:
                yield place, value
    except HarmcircuitsError:
        raise
    except (OSError, ValueError, RecursionError, csv.Error) as error:  # ValueError also for numbers of thousands of digits
        if isinstance(error, UnicodeDecodeError):
            place = f"{path}, line {1 + error.object[: error.start].count(10)}"
        elif isinstance(error, csv.Error):  # the record that cannot be read, not the one before
            place = f"{path}, line {reader.line_num}"
        cure = "It should be UTF-8: a table with a header, a list of JSON objects, or one object a line."
        raise HarmcircuitsError(f"{place} cannot be read ({type(error).__name__}: {one_line(error)}). {cure}") from None


def names(fields: Iterable[str]) -> str:
    return ", ".join(map(shown, list(fields)[:16]))


def shown(value: object) -> str:
    """Quote a value for an error message, unless it is long enough to be a request."""
    text = str(value)
    short = len(text.encode("utf-8", "replace")) <= 30 and len(text.split()) <= 3
    return repr(text) if short else f"<a text of {len(text)} characters>"
