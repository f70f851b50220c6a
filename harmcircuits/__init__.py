"""Which parts of a language model write harmful text, and does the model still recognise harm without them?

    import harmcircuits as hc

    model = hc.load_model()
    train, development, test = hc.load_prompts().split(seed=0)
    harmful, benign = (hc.elicit(model, prompts, temperature=0) for prompts in (train.harmful, train.benign))
    circuit = hc.select(hc.attribute(model, harmful), protect=hc.attribute(model, benign))
    result = hc.dissociate(model, circuit, test, train=train, development=development)

Names are loaded when they are first used: `import harmcircuits` alone does not import TransformerLens or torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

_WHERE = {
    "load_model": "models.load",
    "Prompt": "data",
    "Example": "data",
    "loss": "data",
    "PromptSet": "data",
    "load_prompts": "data",
    "elicit": "data.elicit",
    "Circuit": "circuits",
    "WeightMask": "circuits",
    "outgoing": "circuits",
    "overlap": "circuits",
    "ablated": "ablation.ablate",
    "sweep": "ablation.sweep",
    "generate": "ablation.generate",
    "export": "ablation.generate",
    "compare": "comparison",
    "Comparison": "comparison",
    "Attribution": "attribution.scores",
    "attribute": "attribution.first_order",
    "WeightAttribution": "attribution.weights",
    "attribute_weights": "attribution.weights",
    "top_tokens": "inspection",
    "direct_effects": "inspection",
    "attention_pattern": "inspection",
    "select": "circuits.selection",
    "recognition_metric": "readings.many_shot",
    "Settings": "experiment.settings",
    "Condition": "ablation.ablate",
    "measure": "experiment.measure",
    "Outcomes": "experiment.measure",
    "Dissociation": "experiment.result",
    "HarmcircuitsError": "errors",
    "dissociate": "experiment.dissociation",
    "RecipeSettings": "experiment.settings",
    "compare_recipes": "experiment.recipes",
    "Finding": "claims.claim",
    "CompactnessSettings": "experiment.settings",
    "compactness": "claims.compactness",
    "GeneralitySettings": "experiment.settings",
    "generality": "claims.generality",
    "distinct": "claims.distinct",
    "alignment": "claims.alignment",
    "MisalignmentSettings": "experiment.settings",
    "misalignment": "claims.misalignment",
    "Paper": "claims.run",
    "paper": "claims.run",
}

_ROOMS = ("figures", "judges", "organisms")
"""Rooms that are public as a whole: `hc.organisms.planted()`, `hc.judges.validate(judge)`, `hc.figures.save(figure, path)`."""

__all__ = ["__version__", *_WHERE, *_ROOMS]  # noqa: PLE0604  (one list of names, not two)

if TYPE_CHECKING:
    from . import figures as figures
    from . import judges as judges
    from . import organisms as organisms
    from .ablation.ablate import Condition as Condition
    from .ablation.ablate import ablated as ablated
    from .ablation.generate import export as export
    from .ablation.generate import generate as generate
    from .ablation.sweep import sweep as sweep
    from .attribution.first_order import attribute as attribute
    from .attribution.scores import Attribution as Attribution
    from .attribution.weights import WeightAttribution as WeightAttribution
    from .attribution.weights import attribute_weights as attribute_weights
    from .circuits import Circuit as Circuit
    from .circuits import WeightMask as WeightMask
    from .circuits import outgoing as outgoing
    from .circuits import overlap as overlap
    from .circuits.selection import select as select
    from .claims.alignment import alignment as alignment
    from .claims.claim import Finding as Finding
    from .claims.compactness import compactness as compactness
    from .claims.distinct import distinct as distinct
    from .claims.generality import generality as generality
    from .claims.misalignment import misalignment as misalignment
    from .claims.run import Paper as Paper
    from .claims.run import paper as paper
    from .comparison import Comparison as Comparison
    from .comparison import compare as compare
    from .data import Example as Example
    from .data import Prompt as Prompt
    from .data import PromptSet as PromptSet
    from .data import load_prompts as load_prompts
    from .data import loss as loss
    from .data.elicit import elicit as elicit
    from .errors import HarmcircuitsError as HarmcircuitsError
    from .experiment.dissociation import dissociate as dissociate
    from .experiment.measure import Outcomes as Outcomes
    from .experiment.measure import measure as measure
    from .experiment.recipes import compare_recipes as compare_recipes
    from .experiment.result import Dissociation as Dissociation
    from .experiment.settings import CompactnessSettings as CompactnessSettings
    from .experiment.settings import GeneralitySettings as GeneralitySettings
    from .experiment.settings import MisalignmentSettings as MisalignmentSettings
    from .experiment.settings import RecipeSettings as RecipeSettings
    from .experiment.settings import Settings as Settings
    from .inspection import attention_pattern as attention_pattern
    from .inspection import direct_effects as direct_effects
    from .inspection import top_tokens as top_tokens
    from .models.load import load_model as load_model
    from .readings.many_shot import recognition_metric as recognition_metric


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f".{name}", __name__)
    if name not in _WHERE:
        raise AttributeError(f"module 'harmcircuits' has no attribute {name!r}")
    value = getattr(import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = value  # a submodule of the same name (elicit) would otherwise stand in its place
    return value


def __dir__() -> list[str]:
    return __all__
