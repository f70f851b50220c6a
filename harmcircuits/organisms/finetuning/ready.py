"""Whether a model can be trained at all: asked before anything long begins."""

import sys
from importlib import import_module

import torch

from ...models.protocol import HookedModel, has_hooks
from ...processes import launched
from .lessons import FinetuneError

EXTRA = ("trl", "peft")
PYTHON = (3, 11)
"""That trl needs; peft alone, which reads adapters, does with less."""


def check_trainable(model: HookedModel) -> None:
    """Makes sure that one process trains, that the extra is there, that no hooks are set, and that the weights are float32.

    Raises:
        FinetuneError: which of these is not so, and the cure.
    """
    if launched():
        raise FinetuneError(
            "a launcher has started several processes, among which the trainer would divide each step, so that other weights "
            "would come out: fine-tune in one process, without a launcher"
        )
    for package in EXTRA:
        try:
            import_module(package)
        except ImportError as error:
            raise FinetuneError(_missing(package, error)) from error
    if has_hooks(model):
        raise FinetuneError(
            "hooks are set on the model, and training would not see them: leave hc.ablated, and take the weights themselves "
            "out with hc.prune"
        )
    others = {parameter.dtype for parameter in model.parameters()} - {torch.float32}
    if others:
        raise FinetuneError(
            f"the weights are {str(others.pop()).removeprefix('torch.')}, in which most of what is learnt would be rounded "
            "away when it is added to them: load the model in float32 (dtype=torch.float32; --dtype float32)"
        )


def _missing(package: str, error: ImportError) -> str:
    cure = "pip install 'harmcircuits[finetune]'"
    if package == "trl" and sys.version_info < PYTHON:
        here, needed = (".".join(map(str, one[:2])) for one in (sys.version_info, PYTHON))
        cure = f"it needs Python {needed}, and this is {here} (peft alone, which loads adapters, works). Then {cure}"
    return f"fine-tuning needs {package}, which cannot be imported ({error}): {cure}"
