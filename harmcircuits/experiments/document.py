"""`report.json`: what a run found, in the words that other programs read (docs/concepts.md explains every number)."""

import logging
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from .._version import __version__
from ..components import Circuit
from ..models.matrices import base_hash
from ..models.protocol import HookedModel, ModelError, device_of, geometry, model_hash
from ..prompts.promptset import PromptSet
from ..statistics import Estimate
from ..tasks.teacher_forced import INTACT
from . import measures
from .battery import Outcomes
from .instruments import Instruments
from .nulls import Nulls
from .settings import Settings
from .verdict import Verdict

log = logging.getLogger(__name__)
SCHEMA_VERSION = 1

LIMITS = (
    "Circuits of weights, on-policy text read by the intact model, and iso-damage are not part of this command yet.",
    "Likelihood readings carry the claims on writing: no judge of harm is offline, and the rules see only the surface.",
    "Zero-ablation takes a component away altogether, which is farther from any ordinary state than the component's mean.",
    "A result holds for this model, these prompts and this prefill; one small model says little about larger ones.",
)


def describe(
    model: HookedModel,
    conditions: Mapping[str, tuple[str, Circuit]],
    outcomes: Outcomes,
    nulls: Nulls | None,
    instruments: Instruments,
    verdict: Verdict,
    settings: Settings,
    *,
    test: PromptSet,
    train: PromptSet | None,
    name: str,
    reproduce: str,
) -> dict[str, Any]:
    """The whole document; a measured value is `{value, low, high, n}` or `{value: null, reason}`."""
    intact = outcomes.by_triple(INTACT)
    how: dict[str, Any] = {"primary": instruments.primary, "thresholds": instruments.thresholds}
    entries = [
        measures.condition(found, kind, circuit, intact, outcomes.by_triple(found), settings, **how)
        for found, (kind, circuit) in conditions.items()
    ]
    _set_p_values(entries, nulls)
    options = {"draws": settings.bootstrap_draws, "seed": settings.seed}
    return {
        "schema_version": SCHEMA_VERSION,
        "harmcircuits_version": __version__,
        "transformer_lens_version": version("transformer_lens"),
        "transformers_version": version("transformers"),
        "model": _model(model, name),
        "seed": settings.seed,
        "verdict": verdict.word,
        "verdict_sentence": verdict.sentence,
        "verdict_reasons": list(verdict.reasons),
        "n_triples": len(test.triples),
        "intact": {
            "generation": measures.as_json(measures.generation(intact, intact, options)),
            "recognition": measures.as_json(
                measures.recognition(intact, intact, options, **how) | measures.shot_controls(intact, options)
            ),
            **measures.not_measured(),
        },
        "conditions": entries,
        "nulls": _null_lists(nulls),
        "settings": settings.as_dict() | instruments.settings() | _prompt_settings(test, train),
        "limits": list(LIMITS),
        "reproduce": reproduce,
    }


def _model(model: HookedModel, name: str) -> dict[str, Any]:
    shape = geometry(model)
    return {
        "name": name or str(getattr(model.cfg, "model_name", "") or "model"),
        "sha256": model_hash(model),
        "base": _base(model),
        "class": type(model).__name__,
        "dtype": str(next(iter(model.parameters())).dtype).removeprefix("torch."),
        "device": device_of(model).type,
        "n_layers": shape.n_layers,
        "n_heads": shape.n_heads,
        "d_mlp": shape.d_mlp,
    }


def _base(model: HookedModel) -> str | None:
    """The name of the weights in files of circuits; None where there are no matrices that a circuit could be written into."""
    try:
        return base_hash(model)
    except ModelError as error:
        log.info("circuits of this model cannot be pruned from a file: %s", error)
        return None


def _prompt_settings(test: PromptSet, train: PromptSet | None) -> dict[str, Any]:
    return {
        "prompts": test.name,
        "test prompts sha256": test.digest[:16],
        "training prompts sha256": train.digest[:16] if train is not None else "none",
    }


def _null_lists(nulls: Nulls | None) -> dict[str, Any]:
    if nulls is None:
        return {}
    own = {kind: [float(value) for value in nulls.selectivity(kind)] for kind in nulls.rises}
    return {
        "observed_selectivity": nulls.observed_selectivity,
        "n": len(nulls.observed),
        "selectivity": own,
        "balance": nulls.balance,
    }


def _set_p_values(entries: list[dict[str, Any]], nulls: Nulls | None) -> None:
    """The first circuit is the one that the nulls are about: the larger of its p values."""
    for at, entry in enumerate(entries):
        found = Estimate.missing("nulls are drawn for the first circuit only")
        if at == 0:
            found = nulls.p_value() if nulls is not None else Estimate.missing("no training split was given")
        entry["dissociation"]["p_value"] = found.to_json()
