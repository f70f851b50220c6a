"""Benchmarks by name: the authors' own files at a pinned revision, downloaded once into the cache, verified by SHA-256."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPException
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from urllib.request import urlopen

from .. import store
from .examples import PromptError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A published set of requests.

    Attributes:
        files: SHA-256 (hex) of each file by its URL, which names a commit.
        licence: the files' licence, as an SPDX identifier.
        paper: the source paper's arXiv id.
    """

    files: Mapping[str, str]
    licence: str
    paper: str


_GITHUB = "https://raw.githubusercontent.com"
_JAILBREAKBENCH = (
    "https://huggingface.co/datasets/JailbreakBench/JBB-Behaviors/resolve/886acc352a31533ffbcf4ef22c744658688086fc/data"
)
BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        "advbench": Benchmark(
            files={
                f"{_GITHUB}/llm-attacks/llm-attacks/098262edf85f807224e70ecd87b9d83716bf6b73/data/advbench/"
                "harmful_behaviors.csv": "6cd1a5c63c07610d7eb67307772ee5606017ee950b5770ab288a2c487489d3e1"
            },
            licence="MIT",
            paper="2307.15043",
        ),
        "harmbench": Benchmark(
            files={
                f"{_GITHUB}/centerforaisafety/HarmBench/8e1604d1171fe8a48d8febecd22f600e462bdcdd/data/behavior_datasets/"
                "harmbench_behaviors_text_all.csv": "8d81accedd38eaaf8b760618622bb888417d1fd0c86eba65c427a16f1cbb4afc"
            },
            licence="MIT",
            paper="2402.04249",
        ),
        "jailbreakbench": Benchmark(
            files={
                f"{_JAILBREAKBENCH}/harmful-behaviors.csv": "4a8ec6832056b631eb092dccc60d37a61c3d441268268888b3d006288afeffa1",
                f"{_JAILBREAKBENCH}/benign-behaviors.csv": "3cda234d21a991fa309bbfea4b6d9dae31ccdf8e9d452424b6a983e4fdc33468",
            },
            licence="MIT",
            paper="2404.01318",
        ),
        "strongreject": Benchmark(
            files={
                f"{_GITHUB}/alexandrasouly/strongreject/f7cad6c17e624e21d8df2278e918ae1dddb4cb56/strongreject_dataset/"
                "strongreject_dataset.csv": "4dd70357e4ff8b5d0ba5ebafecab5d6dd5633ce8046e3dd1c8bd93e64de44381"
            },
            licence="MIT",
            paper="2402.10260",
        ),
        "xstest": Benchmark(
            files={
                f"{_GITHUB}/paul-rottger/xstest/d7bb5bd738c1fcbc36edd83d5e7d1b71a3e2d84d/"
                "xstest_prompts.csv": "11783fb294ed017473ee53c207d71f2161c7672c8d0b037501e78387f801cb5a"
            },
            licence="CC-BY-4.0",
            paper="2308.01263",
        ),
    }
)
"""The benchmarks that have a name."""


def benchmark_files(source: str | PathLike[str]) -> list[Path]:
    """The files of the benchmark that `source` names, downloaded on the first call; none where it names no benchmark.

    A path is no name: `"./advbench"` is a file or folder, and so is any `Path`.

    Raises:
        PromptError: no network, and no file put there by hand; or a file with another digest. Names URL and path.
        StoreError: the cache cannot be written.
    """
    if not isinstance(source, str) or source not in BENCHMARKS:
        return []
    benchmark, folder = BENCHMARKS[source], store.cache_dir() / "benchmarks" / source
    return [_verified(url, digest, folder / url.rpartition("/")[2], benchmark) for url, digest in benchmark.files.items()]


def _verified(url: str, digest: str, path: Path, benchmark: Benchmark) -> Path:
    """`path`, once the file there has the digest; downloaded where there is none."""
    if path.exists():
        _check(store.file_digest(path), digest, f"{path} is not the pinned file", f"Delete it, or put there what {url} has")
        return path
    _log.info("downloading %s, once (licence %s, arXiv %s)", url, benchmark.licence, benchmark.paper)
    try:
        with urlopen(url, timeout=60) as response:
            content = response.read()
    except (OSError, HTTPException) as error:
        raise PromptError(
            f"{url} cannot be downloaded ({store.one_line(error)}). Check the network, or download it elsewhere and put it at "
            f"{path} (SHA-256 {digest})."
        ) from error
    _check(sha256(content).hexdigest(), digest, f"what {url} answered is not the pinned file", "Look for a proxy in between")
    with store.atomic_file(path) as temporary:
        temporary.write_bytes(content)
    return path


def _check(found: str, expected: str, problem: str, cure: str) -> None:
    if found != expected:
        raise PromptError(f"{problem}: its SHA-256 is {found}, and {expected} is expected. {cure}.")
