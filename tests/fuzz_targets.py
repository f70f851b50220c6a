"""What is fuzzed, by name: readers of files and writers of pages. What is read is written, and read again as it was."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import fuzz_pages as pages
import fuzz_seeds as seeds
import pandas as pd
from fuzz_checks import Reader, Target, Told

from harmcircuits import store
from harmcircuits.attribution.scores import Attribution, AttributionError
from harmcircuits.components import Circuit, CircuitError, WeightMask
from harmcircuits.components.mask import MaskError
from harmcircuits.components.provenance import read_provenance
from harmcircuits.experiments.folder import read_circuits, read_items, read_outcomes
from harmcircuits.models import adapters
from harmcircuits.models.fetch import LoadError
from harmcircuits.models.gguf_header import check_header
from harmcircuits.prompts import PromptError, load_prompts
from harmcircuits.report import ReportError
from harmcircuits.store import StoreError, read_json, write_json
from harmcircuits.store.frames import as_frame, as_plain
from harmcircuits.store.journal import Journal


def _prompts(path: Path) -> None:
    found = load_prompts(path)
    rows = [vars(prompt) for prompt in found]
    again = path.with_name("again.jsonl")
    again.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert load_prompts(again).prompts == found.prompts, "other prompts when they are written and read again"
    assert "\n" not in repr(found) and len(repr(found)) < 200


def _circuit(path: Path) -> None:
    found = Circuit.load(path)
    found.save(path.with_name("again"))
    assert Circuit.load(path.with_name("again")) == found
    assert len(repr(found)) < 200


def _mask(path: Path) -> None:
    found = WeightMask.load(path)
    found.save(path.with_name("again"))
    assert WeightMask.load(path.with_name("again")) == found
    assert len(repr(found)) < 400 and 0 <= found.fraction <= 1


def _origin(path: Path) -> None:
    found = read_provenance(path)
    assert found is None or len(repr(found)) < 200


def _attribution(path: Path) -> None:
    found = Attribution.load(path)
    found.save(path.with_name("again"))
    again = Attribution.load(path.with_name("again"))
    for one, other in zip(_tensors(found), _tensors(again), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape and bool(((one == other) | one.isnan()).all())
    assert len(repr(found)) < 300 and found.heads.ndim == found.neurons.ndim == 2


def _tensors(scores: Attribution) -> list[Any]:
    error = [] if scores.completeness_error is None else [scores.completeness_error]
    return [scores.per_example_heads, scores.per_example_neurons, *scores.tokens, *error]


def _claim(path: Path) -> None:
    found = seeds.Warm.load(path)
    again = found.save(path.parent, page=False)
    assert seeds.Warm.load(again).document() == found.document()
    assert found.n >= 0 and "\n" not in repr(found)


def _journal(path: Path) -> Told:
    """A part whose digest is right, so that what lies behind it is looked at too."""
    text = path.read_text("utf-8", "surrogateescape")
    journal = Journal(path.parent / "journal")
    part = journal._path("rises", seeds.JOURNAL_KEY, "json")
    try:
        value = json.loads(text)
        value["digest"] = store.digest([part.name, value["table"]])
        text = json.dumps(value)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    part.parent.mkdir(exist_ok=True)
    part.write_text(text, "utf-8", "surrogateescape")
    found = journal.kept("rises", seeds.JOURNAL_KEY)
    if found is None:
        return "refused"
    journal.keep("again", 0, found)
    again = journal.kept("again", 0)
    assert again is not None
    pd.testing.assert_frame_equal(again, found)
    return "read"


def _frame(path: Path) -> None:
    found = as_frame(read_json(path))
    plain = as_plain(found)
    assert as_plain(as_frame(plain)) == plain
    assert set(plain["columns"].values()) <= {"text"} | {str(kind) for kind in found.dtypes}


def _value(path: Path) -> None:
    found = read_json(path)
    if _writable(found):
        write_json(path.with_name("again"), found)
        assert read_json(path.with_name("again")) == found


def _writable(value: object, depth: int = 0) -> bool:
    """No infinity, into which JSON's 1e999 turns, and not nested beyond what anybody writes."""
    if isinstance(value, float):
        return math.isfinite(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth < 50 and all(_writable(part, depth + 1) for part in parts)


def _adapter(path: Path) -> None:
    (path.parent / "adapter_model.safetensors").write_bytes(b"")
    path.replace(path.parent / adapters.CONFIG)
    with mock.patch.object(adapters, "_peft", lambda folder: None):
        assert adapters.base_of(path.parent)


def _gguf(path: Path) -> None:
    check_header(path)
    with path.open("ab") as file:
        file.write(bytes(64))
    check_header(path)  # what fits a file fits a longer one


def _circuits_of_run(path: Path) -> None:
    """The part of report.json that names files."""
    for kind in ("circuits", "controls"):
        file = path.parent / kind / "heads.json"
        if not file.exists():
            Circuit(heads=[(0, 1)]).save(file)
        found = read_circuits(path.parent, read_json(path), kind)
        assert all(isinstance(one, Circuit) for one in found.values())


def _run_report() -> list[bytes]:
    document = {
        "conditions": [],
        "circuits": {"heads": "heads.json"},
        "controls": {"random": "heads.json"},
        "verdict": "shared",
    }
    return [json.dumps(document).encode()]


def _table(read: Callable[[Path], pd.DataFrame]) -> Reader:
    def check(path: Path) -> None:
        found = read(path)
        found.to_csv(io.StringIO())

    return check


def _prompt_target(ending: str, share: int) -> Target:
    return Target(
        ending=ending,
        seeds=lambda: seeds.prompts(ending),
        read=_prompts,
        errors=(PromptError,),
        share=share,
        lines=14,  # the known formats, one a line
        characters=2000,
    )


TARGETS = {
    "prompts.csv": _prompt_target(".csv", 64),
    "prompts.tsv": _prompt_target(".tsv", 32),
    "prompts.json": _prompt_target(".json", 48),
    "prompts.jsonl": _prompt_target(".jsonl", 48),
    "circuit": Target(ending="", seeds=seeds.circuits, read=_circuit, errors=(CircuitError, StoreError)),
    "mask": Target(ending="", seeds=seeds.masks, read=_mask, errors=(MaskError,)),
    "origin of a circuit": Target(ending=".json", seeds=seeds.circuits, read=_origin, errors=(StoreError,), share=12),
    "origin of a mask": Target(ending=".safetensors", seeds=seeds.masks, read=_origin, errors=(StoreError,), share=12),
    "attribution": Target(ending="", seeds=seeds.attributions, read=_attribution, errors=(AttributionError,)),
    "claim": Target(ending="", seeds=seeds.claims, read=_claim, errors=(StoreError,), share=8),
    "journal": Target(ending="", seeds=seeds.journals, read=_journal, errors=(), share=12),
    "frame": Target(
        ending="", seeds=seeds.frames, read=_frame, names="nothing", share=12, characters=10**5, lines=99,
        errors=(KeyError, TypeError, ValueError, StoreError),
    ),
    "JSON": Target(ending="", seeds=seeds.values, read=_value, errors=(StoreError,)),
    "adapter": Target(ending="", seeds=seeds.adapters, read=_adapter, errors=(LoadError,), names="folder", share=16),
    "GGUF header": Target(ending="", seeds=seeds.gguf_files, read=_gguf, errors=(ValueError,), names="nothing", share=48),
    "circuits of a run": Target(
        ending="", seeds=_run_report, read=_circuits_of_run, errors=(StoreError, CircuitError, MaskError), share=12,
        names="folder",
    ),
    "outcomes": Target(
        ending="", seeds=lambda: seeds.outcomes("nll"), read=_table(read_outcomes), errors=(StoreError,), share=3
    ),
    "items": Target(ending="", seeds=lambda: seeds.outcomes("share"), read=_table(read_items), errors=(StoreError,), share=3),
    "page of a run": Target(ending="", seeds=pages.texts, read=pages.read_run, errors=(), share=1, evaluates=True),
    "page of claims": Target(ending="", seeds=pages.texts, read=pages.read_paper, errors=(), share=8, evaluates=True),
    "figure": Target(ending="", seeds=pages.texts, read=pages.read_figure, errors=(), share=1),
    "shape of a report": Target(
        ending="", seeds=pages.reports, read=pages.read_shape, errors=(ReportError, StoreError), names="nothing", share=1,
        evaluates=True,
    ),
}  # fmt: skip
