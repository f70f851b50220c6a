"""Probes after every layer, beside a run's crossed table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..ablation.hooks import Ablation
from ..components import Circuit, WeightMask
from ..models.protocol import HookedModel, geometry
from ..prompts.promptset import PromptSet
from ..tasks.probe_layers import BEFORE_THE_ANSWER, KINDS, LayerProbes, layer_probes
from ..tasks.teacher_forced import INTACT
from .asked import Asked
from .checks import MATCHED, RECOGNITION
from .kept import Kept
from .names import name_of
from .scores import chosen_triples

BESIDE = (RECOGNITION, MATCHED)
"""Conditions that are read beside the circuit and the intact model."""


def read_layers(
    model: HookedModel,
    train: PromptSet | None,
    asked: Asked,
    main: str,
    conditions: Mapping[str, tuple[str, Circuit | WeightMask]],
    *,
    kept: Kept,
    progress: bool = False,
) -> LayerProbes | None:
    """Probes trained on the intact model's training twins, and trained anew, under the circuit and two that stand beside it;
    none without training triples. What is `kept` from before is not read again."""
    if train is None or not train.triples:
        return None
    few = chosen_triples(train, asked.settings.probe_triples, seed=asked.settings.seed)
    twins = tuple(prompt for prompt in asked.prompts if prompt.role != "far")
    own = {name: conditions[name][1] for name in (main, *BESIDE) if name in conditions}
    every: dict[str, Ablation] = {INTACT: None, **own}
    how: dict[str, Any] = {"seed": asked.settings.seed, "progress": progress}
    read = lambda: pd.DataFrame({"score": layer_probes(model, tuple(few), twins, every, **how).scores.ravel()})
    frame = kept.frame("layers", [(name, name_of(condition)) for name, condition in every.items()], read)
    layers = tuple(range(geometry(model).n_layers))
    shape = (len(every), len(KINDS), len(BEFORE_THE_ANSWER), len(layers), len(twins))
    return LayerProbes(
        scores=frame["score"].to_numpy(dtype=np.float32).reshape(shape),
        conditions=tuple(every),
        places=BEFORE_THE_ANSWER,
        layers=layers,
        prompts=twins,
        seed=asked.settings.seed,
    )
