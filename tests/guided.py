"""Pages and example scripts as a reader would run them, with tiny models in the place of those that would be loaded."""

from pathlib import Path
from typing import Any

import pytest
from shell import small
from tiny import tiny_model_folder
from triples import RUN, make_triples

import harmcircuits as hc
from harmcircuits import judges
from harmcircuits.experiment.settings import CompactnessSettings

SET = make_triples(24)
FEW = CompactnessSettings(**vars(RUN) | {"components": ("neurons",), "neuron_fractions": (0.02, 0.06)})
FEWER: dict[str, dict[str, Any]] = {
    "elicit": {"max_new_tokens": 6},
    "generate": {"max_new_tokens": 6},
    "compactness": {"prompts": SET, "settings": FEW},
    "alignment": {"prompts": SET, "settings": FEW},
}
"""Options with which what a page calls takes seconds, where the page does not say otherwise."""


def make_folders(place: Path, **sizes: int) -> Path:
    """The folders that pages name, with tiny models; "base" is also what is loaded in the place of any other name."""
    for name, seed in (("base", 0), ("tuned", 2)):
        tiny_model_folder(place / name, seed=seed, max_position_embeddings=2048, **sizes)
    return place


def load_tiny_models(patch: pytest.MonkeyPatch, base: Path) -> None:
    """What is given or lies in a folder is loaded as it is, any other name is `base`; and runs are small."""
    load = hc.load_model

    def load_tiny(name: Any = "", **given: Any) -> Any:
        is_alias = isinstance(name, str | Path) and not Path(name or " ").is_dir() and given.get("hf_model") is None
        return load(base if is_alias else name, **given)

    patch.setattr(hc, "load_model", load_tiny)
    small(patch)


def small_sizes(patch: pytest.MonkeyPatch) -> None:
    """From now on functions of the package have the options of `FEWER`; judges read every sixth case."""

    def fewer(verb: Any, options: dict[str, Any]) -> Any:
        return lambda *given, **own: verb(*given, **options | own)

    validate = judges.validate
    for name, options in FEWER.items():
        patch.setattr(hc, name, fewer(getattr(hc, name), options))
    patch.setattr(judges, "validate", lambda judge: validate(judge, judges.load_cases()[::6]))
