"""What lies in the folder of a run, and under which names."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from .. import store
from ..components import Circuit, Provenance, WeightMask
from .battery import WHO

REPORT, OUTCOMES, ITEMS, PAGE = "report.json", "outcomes.csv", "items.csv", "report.html"
NULLS = "nulls.safetensors"
RESULTS = ("harmful_nll_rise", "near_nll_rise", "far_nll_rise", "selectivity")
SCORES = ("harmful", "near", "far", "recognition")
KINDS = ("circuits", "controls")


def save_circuits(folder: Path, circuits: Mapping[str, Circuit | WeightMask], document: Mapping[str, Any]) -> dict[str, str]:
    """One file each, with its origin; the names of the files, for `report.json`."""
    files = _files(circuits)
    for name, file in files.items():
        circuits[name].save(folder / file, provenance=_origin(document, name))
    return files


def read_circuits(folder: Path, found: object, kind: str) -> dict[str, Circuit | WeightMask]:
    """What `save_circuits` wrote. Raises StoreError where `found` is not the report of a run."""
    files = found.get(kind) if isinstance(found, dict) else None
    if not isinstance(files, dict) or not isinstance(found, dict) or "conditions" not in found:
        raise store.StoreError(f"{folder / REPORT} is not the report of a run: it names no {kind}. Run it again.")
    if not all(isinstance(file, str) and file.isprintable() and len(file) < 256 for file in files.values()):
        raise store.StoreError(f"{folder / REPORT} was changed since it was written: what it names of {kind} are no files.")
    return {
        name: (WeightMask if file.endswith(".safetensors") else Circuit).load(folder / kind / Path(file).name)
        for name, file in files.items()
    }


def read_outcomes(path: Path) -> pd.DataFrame:
    """Names and groups as text, whatever they look like; readings as numbers, empty where none was taken."""
    words = ("condition", *WHO)
    frame = read_csv(path, dtype=dict.fromkeys(words, str), keep_default_na=False, na_values=[""])
    if absent := [column for column in (*words, "nll") if column not in frame]:
        raise store.StoreError(f"{path} has no columns {', '.join(absent)}: it was changed since it was written.")
    return frame.fillna(dict.fromkeys(words, ""))


def read_items(path: Path) -> pd.DataFrame:
    """The items of the tasks that are not about the triples. Raises StoreError for a file that is no table."""
    return read_csv(path, dtype={"condition": str, "task": str, "topic": str})


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """`pandas.read_csv`. Raises StoreError for a file that is missing or no table."""
    try:
        frame: pd.DataFrame = pd.read_csv(path, **options)
    except (OSError, ValueError) as error:
        raise store.StoreError(f"cannot read {path}: {store.one_line(error)}. Run the measurement again.") from error
    return frame


_OURS = re.compile(r"[\w-]{1,200}(~\d+)?\.(json|safetensors)")
"""What `_files` names a file."""


def clear(folder: Path) -> None:
    """Removes what an earlier run wrote there; nothing where there is no report of one, and no file that is not ours."""
    try:
        found = store.read_json(folder / REPORT)
    except store.StoreError:
        found = {}
    listed = {kind: found.get(kind) if isinstance(found, dict) else None for kind in KINDS}
    named = [(kind, Path(str(file)).name) for kind, own in listed.items() if isinstance(own, dict) for file in own.values()]
    ours = [f"{kind}/{name}" for kind, name in named if _OURS.fullmatch(name)]  # a report can be edited
    ours += [f"scores/{name}.safetensors" for name in SCORES] + [f"scores/{NULLS}"]
    for name in (REPORT, PAGE, OUTCOMES, ITEMS, *ours):
        with store.storage_errors(folder / name):
            (folder / name).unlink(missing_ok=True)


def _origin(document: Mapping[str, Any], name: str) -> Provenance | None:
    """Where the circuit `name` comes from; None where the report does not name the weights."""
    model, settings = document.get("model", {}), document.get("settings", {})
    if not model.get("base"):
        return None
    packages = ("harmcircuits", "transformer_lens", "transformers")
    generation: Mapping[str, Any] = next(
        (own["generation"] for own in document.get("conditions", []) if own.get("name") == name), {}
    )
    return Provenance(
        base=model["base"],
        model=model["name"],
        data=f"training prompts sha256 {settings.get('training prompts sha256')}; results on {settings.get('prompts')}",
        scores="first-order attribution of harmful responses, benign text protected (hc.dissociate)",
        seed=document.get("seed"),
        results={"verdict": document.get("verdict"), **{key: generation[key] for key in RESULTS if key in generation}},
        versions={package: document[f"{package}_version"] for package in packages if f"{package}_version" in document},
    )


def _files(circuits: Mapping[str, Circuit | WeightMask]) -> dict[str, str]:
    """A file for each name from the user: no separators, no dots, and no two names in one."""
    files: dict[str, str] = {}
    for name, circuit in circuits.items():
        stem, ending = re.sub(r"[^\w-]+", "-", name), "safetensors" if isinstance(circuit, WeightMask) else "json"
        taken = sum(file.rpartition(".")[0].partition("~")[0] == stem for file in files.values())
        files[name] = f"{stem}~{taken}.{ending}" if taken else f"{stem}.{ending}"
    return files
