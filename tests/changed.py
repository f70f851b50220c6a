"""Good files of each kind that the package reads, and what becomes of them when they are changed at random."""

import json
import mmap
import os
import random
import re
import resource
import shutil
import signal
import struct
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from fake_report import fake_run
from tiny import tiny_model, tiny_model_folder, tiny_tokenizer
from tiny_gguf import write_gguf

import harmcircuits as hc
from harmcircuits import store
from harmcircuits.attribution.scores import Attribution
from harmcircuits.attribution.weights import WeightAttribution
from harmcircuits.errors import HarmcircuitsError, printable


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content, "utf-8")


def load(path: Path) -> None:
    """A model, and into a cache that is empty again afterwards."""
    try:
        hc.load_model(path if path.suffix == ".gguf" else path.parent, device="cpu")
    finally:
        shutil.rmtree(store.cache_dir())


ROWS = [{"request": "Sing", "category": "music", "group": "g", "role": "far"}, {"request": "Rest", "role": "near"}]
CSV = 'request,category,role\nSing,music,far\n"Rest, ""then""",,near\n'
MASK = hc.WeightMask(indices={"blocks.0.mlp.in": torch.tensor([1, 4])}, shapes={"blocks.0.mlp.in": (2, 3)})
SCORES = Attribution(torch.ones(2, 1, 2), torch.ones(2, 1, 3))
WEIGHTS = WeightAttribution(**{kind: {"blocks.0.mlp.in": torch.ones(2, 3)} for kind in ("signed", "absolute")}, n_examples=2)
TINY = {"n_layers": 1, "n_heads": 2, "n_kv": 1, "d_model": 8, "d_mlp": 8}
run_files = lambda path: fake_run().save(path.parent)
load_run = lambda path: hc.Dissociation.load(path.parent)
model_files = lambda path: tiny_model_folder(path.parent, **TINY)
READERS: dict[str, tuple[str, Callable[[Path], object], Callable[[Path], object]]] = {
    "CSV": ("p.csv", text(CSV), hc.load_prompts),
    "TSV": ("p.tsv", text(CSV.replace(",", "\t")), hc.load_prompts),
    "JSON": ("p.json", text(json.dumps(ROWS)), hc.load_prompts),
    "JSONL": ("p.jsonl", text("\n".join(map(json.dumps, ROWS))), hc.load_prompts),
    "circuit": ("c.json", hc.Circuit(heads=[(0, 1)], neurons=[(1, 3)], scores={"L0H1": 0.5}).save, hc.Circuit.load),
    "mask": ("m.safetensors", MASK.save, hc.WeightMask.load),
    "scores": ("a.safetensors", SCORES.save, Attribution.load),
    "weight scores": ("w.safetensors", WEIGHTS.save, WeightAttribution.load),
    "report.json": ("report.json", run_files, load_run),
    "outcomes.csv": ("outcomes.csv", run_files, load_run),
    "GGUF": ("m.gguf", lambda path: write_gguf(path, tiny_model(**TINY), tiny_tokenizer()), load),
    "safetensors": ("model.safetensors", model_files, load),
    "config.json": ("config.json", model_files, load),
    "tokenizer.json": ("tokenizer.json", model_files, load),
}
"""Of each kind of file: a name, what writes a good one, and what reads it."""
WORDS = (
    b"", b"[" * 99_999, b'{"a":' * 9999, b"9" * 5000, b"1e999", b"-1", b"NaN", b"null", b"true", b'"', b"\x1b[31m", b"\0",
    b"\xff\xfe", b"\\ud800", b"\xed\xa0\x80", b"\r", b"\n", b",", b"\t", "\u202e".encode(), b"../../x", b"{}", b"[]",
    b'{"auto_map": {}}',
    b"cos\nsystem\n(S'true'\ntR.", *(n.to_bytes(8, "little") for n in (0, 2**31, 2**40, 2**63 - 1, 2**64 - 1)), b"\xff" * 4,
)  # fmt: skip
NO_LINE = r"(line|entry) \d|no prompts|RecursionError|Exceeds the limit"  # of JSON that is no list at all, no line is known
LINES = ("CSV", "TSV", "JSON", "JSONL")
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pickle.find_class", "socket.connect")


def changed(good: bytes, draw: random.Random) -> bytes:
    """One to three places are overwritten, cut out, doubled, or flipped; a number in its text becomes another."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        # headers are where lengths and counts lie
        start = draw.randrange(min(len(good), draw.choice((64, 1024, len(good)))) + 1) if good else 0
        length, way = draw.choice((0, 1, 4, 8, draw.randint(0, 60))), draw.randrange(6)
        end = start + length
        if way == 0:
            good = good[:start]
        elif way == 1:
            good = good[:start] + bytes(byte ^ 1 << draw.randrange(8) for byte in good[start:end]) + good[end:]
        elif way == 2:
            good = good[:start] + 2 * good[start:end] + good[end:]
        elif way == 3:
            good = good[:start] + draw.randbytes(length) + good[end:]
        elif way == 4 and (numbers := [*re.finditer(rb"\d+", good[:4096])]):
            number = draw.choice(numbers)
            good = good[: number.start()] + draw.choice((b"-1", b"0", b"99999999999", b"1e9", b"null")) + good[number.end() :]
        else:
            good = good[:start] + draw.choice(WORDS) + good[end:]
    return good


def read_changed(name: str, folder: Path, seed: int, inputs: range, shared: mmap.mmap, out: Path) -> None:
    """Read changed files, in a process of its own, which some might end.

    Args:
        shared: gets which is being read, how many were read, and how many refused.
        out: gets what is wrong with others, by index.
    """
    file, make, read = READERS[name]
    os.environ[store.CACHE_VARIABLE] = str(folder / "cache")
    warnings.simplefilter("ignore")
    path = folder / "files" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    read(path)
    good, ran, counts, faults = path.read_bytes(), list[str](), [0, 0], dict[int, str]()
    sys.addaudithook(lambda event, _: ran.append(event) if event in FORBIDDEN else None)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 4 * 2**30, resource.RLIM_INFINITY))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for index in inputs:
        shared[:] = struct.pack("3q", index, *counts)
        path.write_bytes(changed(good, random.Random(f"{seed} {name} {index}")))
        signal.setitimer(signal.ITIMER_PROF, 20)  # seconds that it computes
        fault, refused = "", False
        try:
            read(path)
        except HarmcircuitsError as error:
            told, refused = str(error), True
            placed = str(path.parent) in told and (name not in LINES or re.search(NO_LINE, told))
            if not placed or len(told) > 3000 or printable(told, keep="\n") != told:
                fault = f"told badly: {told}"
        except BaseException as error:
            fault = f"{type(error).__name__}: {error}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        fault = f"ran {ran}" if ran else fault
        ran.clear()
        if fault:
            faults[index] = fault[:300]
            out.write_text(json.dumps(faults), "utf-8")
        else:
            counts[refused] += 1
    shared[:] = struct.pack("3q", inputs[-1], *counts)
