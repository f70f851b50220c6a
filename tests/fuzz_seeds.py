"""Good files of every kind, as the package or a user writes them: what mutations start from."""

import csv
import io
import json
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pandas as pd
import torch

from harmcircuits.attribution.scores import Attribution
from harmcircuits.claims.claim import Claim
from harmcircuits.components import Circuit, Provenance, WeightMask
from harmcircuits.prompts.formats import FORMATS
from harmcircuits.statistics import Estimate
from harmcircuits.store import write_json
from harmcircuits.store.frames import as_plain
from harmcircuits.store.journal import Journal

SECRETS = (
    "Is my old ox at it as we go up to an inn by the sea?",
    "Do as I do, or no one is to be in on it at all: we go up.",
    "In an hut at a hob he is to fry an egg, a fig or a bun",
    "怎样在家里烤一个又大又软的面包给朋友们吃才好呢请一步一步告诉我",
)
"""Requests and responses, which no message may quote. A message may show a *name* of at most three words (a column's, where a
header is missing), so that words here have three letters at most: twelve characters of a cell are always more."""

ORIGIN = Provenance(base="0123456789abcdef", model="tiny", seed=3, results={"rise": 0.5}, versions={"torch": "2"})
SHAPES = {"blocks.0.attn.q": (2, 3), "blocks.0.mlp.in": (4, 3), "blocks.1.mlp.in": (4, 3)}
JOURNAL_KEY = {"seed": 0}
FRAME = pd.DataFrame(
    {"rule": ["top", None], "n": [3, 4], "p": [0.5, np.nan], "held": [True, False], "small": np.array([1, 2], dtype="int8")}
)


class Warm(Claim):
    """A claim to be read: real ones differ in figures alone."""

    NAME = "warm"
    ASKS = "Is bread better warm?"


def prompt_rows(kind: str) -> list[dict[str, str]]:
    """Three rows of a format, with a secret where a request, a target or a response belongs."""
    secret, number = count(), count(1)
    labels = {"role": "far", "label": "unsafe", "category": "baking", "type": "contrast_homonyms", "risk_area": "bread"}
    names = ("id", "index", "group", "behaviorid", "source", "tags", "harm_group", "types_of_harm", "semanticcategory")

    def cell(column: str) -> str:
        if column in labels:
            return labels[column]
        return f"{column[:4]}{next(number)}" if column in names else SECRETS[next(secret) % len(SECRETS)]

    columns = FORMATS[kind].required + FORMATS[kind].optional
    return [{column: cell(column) for column in columns} for _ in range(3)]


def prompts(ending: str) -> list[bytes]:
    """A file of each format."""
    return [_prompt_file(prompt_rows(kind), ending).encode() for kind in FORMATS]


def _prompt_file(rows: list[dict[str, str]], ending: str) -> str:
    if ending == ".json":
        return json.dumps(rows, indent=1, ensure_ascii=False)
    if ending == ".jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if ending == ".tsv" else ",")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def circuits() -> list[bytes]:
    whole = Circuit(heads=[(0, 1), (1, 0)], neurons=[(0, 17), (1, 3), (1, 4)])
    return [_saved(lambda path: whole.save(path, provenance=ORIGIN)), _saved(whole.save), _saved(Circuit().save)]


def masks() -> list[bytes]:
    mask = WeightMask(indices={"blocks.0.mlp.in": torch.tensor([1, 5, 7]), "blocks.1.mlp.in": torch.tensor([0])}, shapes=SHAPES)
    return [_saved(lambda path: mask.save(path, provenance=ORIGIN)), _saved(mask.save), _saved(WeightMask(shapes=SHAPES).save)]


def attributions() -> list[bytes]:
    heads, neurons = torch.arange(8.0).reshape(2, 2, 2), torch.arange(12.0).reshape(2, 2, 3)
    tokens = (torch.ones(3, 2), torch.zeros(2, 2))
    whole = Attribution(heads, neurons, tokens, torch.tensor([0.5, -0.5]))
    unmeasured = Attribution(heads, torch.full_like(neurons, torch.nan))
    return [_saved(whole.save), _saved(unmeasured.save)]


def claims() -> list[bytes]:
    claim = Warm(
        found="yes",
        sentence="Warm bread is better by 0.5.",
        values={"share": Estimate(0.5, 0.25, 0.75, 12), "other": Estimate.missing("nobody was asked")},
        tables={"shares": FRAME, "empty": FRAME[:0]},
        model={"name": "tiny"},
        settings={"seed": 0},
        command="eat --warm",
        limits=("One loaf.",),
    )
    return [json.dumps(claim.document()).encode()]


def journals() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        Journal(Path(folder)).keep("rises", JOURNAL_KEY, FRAME)
        (path,) = Path(folder).iterdir()
        return [path.read_bytes()]


def frames() -> list[bytes]:
    typed = FRAME.astype({"p": "float32", "n": "uint8"}).assign(whole=pd.array([1, None], dtype="Int64"))
    return [json.dumps(as_plain(frame)).encode() for frame in (FRAME, typed, FRAME[:0])]


def values() -> list[bytes]:
    """Plain JSON of ours."""
    value = {"name": "dänce 😀", "list": [1, -2.5, None, True, {"a": {"b": []}}], "text": 'a "quoted" line\n'}
    return [_saved(lambda path: write_json(path, value)), b"[]", b'"text"']


def adapters() -> list[bytes]:
    settings = {"base_model_name_or_path": "somebody/a-model", "peft_type": "LORA", "r": 4, "lora_alpha": 8}
    return [json.dumps(settings).encode()]


def gguf_files() -> list[bytes]:
    def write(path: Path) -> None:
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_block_count(1)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_token_list(["a", "bc", "<eos>"])
        writer.add_token_types([1, 1, 3])
        writer.add_add_bos_token(False)
        writer.add_tensor("token_embd.weight", np.ones((3, 4), dtype=np.float32))
        writer.add_tensor("output_norm.weight", np.ones(4, dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    return [_saved(write)]


def outcomes(column: str) -> list[bytes]:
    """A table of a run: names as text, then numbers."""
    names = {"condition": "intact", "category": "baking", "harm_group": "", "group": "g1", "role": "near"}
    rows: list[dict[str, Any]] = [names | {column: 0.5}, names | {"condition": "'=cut", column: None}]
    return [pd.DataFrame(rows).to_csv(index=False).encode()]


def _saved(save: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "seed")
        return (Path(folder) / "seed").read_bytes()
