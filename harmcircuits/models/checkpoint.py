"""Checkpoints: the weights of another training run, which can take the place of a model's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import HarmcircuitsError
from .load import load_model
from .model_key import configuration, model_hash
from .protocol import HookedModel, tokenizer_of

# in configurations: what changes no logits of a model in evaluation mode with its parameters given
_WITHOUT_EFFECT = {"architectures", "attention_dropout", "bos_token_id", "eos_token_id", "pad_token_id", "initializer_range"}


@dataclass(frozen=True, eq=False, repr=False)
class Checkpoint:
    """Every parameter of a checkpoint: a fine-tune, a pruned or merged model, an adapter merged into its base.

    Attributes:
        source: where it was loaded from.
        key: a digest of its weights.
        weights: one copy, by the model's own names of parameters.
        configuration, vocabulary: what a model must have in common with it.
    """

    source: str
    key: str
    weights: Mapping[str, Tensor]
    configuration: Mapping[str, Any] = field(default_factory=dict)
    vocabulary: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, source: Any, **options: Any) -> "Checkpoint":
        """Load what `load_model` takes, with its options (dtype, device, revision, tokenizer, hooked)."""
        model = load_model(source, **options)
        weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
        name = str(Path(source) if isinstance(source, str | Path) else model.cfg.model_name)
        return cls(name, model_hash(model), weights, configuration(model), tokenizer_of(model).get_vocab())

    def __len__(self) -> int:
        """Its number of weights."""
        return sum(weight.numel() for weight in self.weights.values())

    def __repr__(self) -> str:
        return f"Checkpoint({self.source!r}, {len(self):,} weights)"

    def check(self, model: HookedModel) -> None:
        """Raise HarmcircuitsError unless these weights, in the model's place, are the checkpoint itself."""
        here, there = configuration(model), self.configuration
        shape = lambda weights: {name: tuple(weight.shape) for name, weight in weights}
        ours, theirs = shape(model.named_parameters()), shape(self.weights.items())
        names = sorted({*here, *there} - _WITHOUT_EFFECT)
        differences = [f"{name} {there.get(name)} ≠ {here.get(name)}" for name in names if there.get(name) != here.get(name)]
        differences += [f"{name} {theirs.get(name)} ≠ {shape}" for name, shape in ours.items() if theirs.get(name) != shape]
        differences += [f"{name} beside the model's parameters" for name in theirs if name not in ours]
        if differences:
            raise HarmcircuitsError(
                f"{self.source} is no checkpoint of the same architecture: {'; '.join(differences[:3])} (there ≠ here). In the "
                "model's place its weights would be another model: give one of the same configuration, and class (hooked=)."
            )
        if self.vocabulary != tokenizer_of(model).get_vocab():
            raise HarmcircuitsError(
                f"{self.source} has another tokenizer: the same token ids would be another text. tokenizer= replaces it."
            )
        types = {parameter.dtype for _, parameter in model.named_parameters()}
        if types != {weight.dtype for weight in self.weights.values()}:
            wanted = sorted(map(str, types))[0]
            raise HarmcircuitsError(f"{self.source} was loaded in another type than the model: load it with dtype={wanted}.")
