"""`report.json`: what a run found, in the words that other programs read (docs/concepts.md explains every number)."""

import logging
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from .._version import __version__
from ..models.matrices import base_hash
from ..models.protocol import HookedModel, ModelError, device_of, geometry, model_hash
from ..prompts.promptset import PromptSet
from ..statistics import Estimate
from ..tasks.teacher_forced import INTACT
from . import measures
from .checks import EXPLANATION, MATCHED, TWINS
from .collateral import collateral
from .crossed import crossed
from .nulls import Nulls
from .run import Run
from .settings import Settings
from .verdict import Verdict

log = logging.getLogger(__name__)
SCHEMA_VERSION = 1

LIMITS = (
    "Likelihood readings carry the claims on writing: the rules see only the surface, and a judge errs in its own ways.",
    "Zero-ablation takes a component away altogether, which is farther from any ordinary state than the component's mean.",
    "A result holds for this model, these prompts and this prefill; one small model says little about larger ones.",
)


def describe(
    model: HookedModel,
    run: Run,
    verdict: Verdict,
    rates: Mapping[str, dict[str, Estimate]],
    settings: Settings,
    *,
    train: PromptSet | None,
    name: str,
    reproduce: str,
) -> dict[str, Any]:
    """The whole document; a measured value is `{value, low, high, n}` or `{value: null, reason}`.

    `rates`: what a judge says of the texts written under each condition (`judged.harmful_rates`).
    """
    intact = run.outcomes.by_triple(INTACT)
    options = {"draws": settings.bootstrap_draws, "seed": settings.seed, "strata": run.outcomes.categories()}
    how = {"primary": run.instruments.primary}
    shown = [found for found in run.conditions if found != EXPLANATION]  # it has its place in the crossed table
    entries = [_entry(run, found, rates.get(found, {}), options, how) for found in shown]
    document = {
        "schema_version": SCHEMA_VERSION,
        "harmcircuits_version": __version__,
        "transformer_lens_version": version("transformer_lens"),
        "transformers_version": version("transformers"),
        "model": describe_model(model, name),
        "seed": settings.seed,
        "verdict": verdict.word,
        "verdict_sentence": verdict.sentence,
        "verdict_reasons": list(verdict.reasons),
        "n_triples": len(run.test.triples),
        "intact": {
            "generation": measures.as_json(measures.generation(intact, intact, options) | rates.get(INTACT, {})),
            "recognition": measures.as_json(measures.recognition(intact, intact, options, **how)),
            **collateral(run.outcomes, INTACT, options, unexplained=run.unexplained),
        },
        "conditions": entries,
        "nulls": _null_lists(run.nulls),
        "settings": settings.as_dict() | run.instruments.settings() | _prompt_settings(run.test, train),
        "seconds": {task: round(took, 1) for task, took in run.outcomes.seconds.items()},
        "limits": list(LIMITS),
        "reproduce": reproduce,
    }
    if run.aims:
        beside = [found for found in (TWINS, MATCHED) if found in run.conditions]
        document["crossed"] = crossed(run.outcomes, run.aims, options, primary=run.instruments.primary, beside=beside)
    return document


def _entry(
    run: Run, found: str, rates: dict[str, Estimate], options: Mapping[str, Any], how: Mapping[str, Any]
) -> dict[str, Any]:
    """One entry of `conditions`."""
    intact, changed = run.outcomes.by_triple(INTACT), run.outcomes.by_triple(found)
    kind, circuit = run.conditions[found]
    return {
        "name": found,
        "kind": kind,
        **measures.counts(circuit),
        "generation": measures.as_json(measures.generation(intact, changed, options) | rates),
        "recognition": measures.as_json(measures.recognition(intact, changed, options, **how)),
        **collateral(run.outcomes, found, options, unexplained=run.unexplained),
        "dissociation": measures.as_json({"p_value": _p_value(run, found)}),
    }


def describe_model(model: HookedModel, name: str = "") -> dict[str, Any]:
    """Which model: its name, weights, class, type, device and shape."""
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
    }


def _p_value(run: Run, found: str) -> Estimate:
    """Of the first circuit, which the nulls are about: the larger p value of both."""
    if found != run.main:
        return Estimate.missing("nulls are drawn for the first circuit only")
    return run.nulls.p_value() if run.nulls is not None else Estimate.missing(NO_SCORES if run.scores is None else NO_NULLS)


NO_SCORES = "no training split was given"
NO_NULLS = "the first circuit is a mask of weights, which has no nulls yet"
