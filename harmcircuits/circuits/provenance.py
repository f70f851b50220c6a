"""Where a circuit or a mask comes from: which model, data and scores. It is written into the file beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

from .._version import __version__
from ..models.matrices import base_hash
from ..models.protocol import HookedModel
from ..notebook import clipped
from ..store import StoreError, read_about, read_json


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a file says of its origin.

    Attributes:
        base: SHA-256 (16 hexadecimal digits) of the model's eligible matrices (`models.matrices.base_hash`).
        model: its name.
        data: which prompts the scores are from.
        scores: which scores, and how components were chosen.
        seed: of what was drawn.
        results: what was measured with it; plain JSON.
        versions: of this package and those that computed.
    """

    base: str
    model: str = ""
    data: str = ""
    scores: str = ""
    seed: int | None = None
    results: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"Provenance({clipped(self.model, 28)!r}, base {clipped(self.base, 16)}, {clipped(self.scores or self.data, 28)!r})"
        )


def provenance(
    model: HookedModel,
    *,
    name: str = "",
    data: str = "",
    scores: str = "",
    seed: int | None = None,
    results: Mapping[str, Any] | None = None,
) -> Provenance:
    """The origin of something found in `model`, to be saved with it.

        circuit.save("circuit.json", provenance=hc.provenance(model, data="built-in triples, train", scores="first order"))

    Raises:
        ModelError: the model's matrices cannot be found.
    """
    installed = {package: version(package) for package in ("transformer_lens", "transformers", "torch")}
    return Provenance(
        base=base_hash(model),
        model=name or str(getattr(model.cfg, "model_name", "") or ""),
        data=data,
        scores=scores,
        seed=seed,
        results=results or {},
        versions={"harmcircuits": __version__, **installed},
    )


def read_provenance(path: str | Path) -> Provenance | None:
    """What a saved circuit (JSON) or mask (safetensors) says of its origin; None where it says nothing.

    Raises:
        StoreError: the file is missing, damaged, or holds something else.
    """
    found = _header(Path(path)).get("provenance")
    if found is None:
        return None
    names = {each.name for each in fields(Provenance)}
    if not isinstance(found, dict) or "base" not in found or not set(found) <= names:
        told = sorted(found) if isinstance(found, dict) else found
        raise StoreError(f"{path} says of its origin what this version does not know: {shortened(told)}. Save it again.")
    return Provenance(**found)


def _header(path: Path) -> dict[str, Any]:
    try:
        about = read_about(path)
    except StoreError:
        if path.suffix == ".safetensors":
            raise
        about = read_json(path)
    return about if isinstance(about, dict) else {}
