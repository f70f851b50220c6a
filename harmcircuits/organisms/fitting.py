"""One training from given weights, and the cache that keeps what came of it."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaForCausalLM

from .. import store

log = logging.getLogger(__name__)
Loss = Callable[[LlamaForCausalLM, float], Float[Tensor, ""]]
"""Of the model and of how far training is, 0 to 1."""


def fitted(model: LlamaForCausalLM, loss: Loss, *, steps: int, rate: float) -> LlamaForCausalLM:
    """As `adam`, on one thread."""
    with _one_thread():
        return adam(model, loss, steps=steps, rate=rate)


def adam(model: LlamaForCausalLM, loss: Loss, *, steps: int, rate: float) -> LlamaForCausalLM:
    """`model` itself after `steps` of Adam on `loss`, the rate rising for a tenth of them and falling from then on.

    Parameters that need no gradient stay as they are.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    with torch.enable_grad():
        for step in range(steps):
            optimizer.zero_grad()
            loss(model, step / steps).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
    return model.eval()


@contextmanager
def _one_thread() -> Iterator[None]:
    """On models as small as these a second thread only waits, and sums would depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def kept(
    name: str, recipe: Any, *, seed: int, untrained: Callable[[], LlamaForCausalLM], train: Callable[[], LlamaForCausalLM]
) -> LlamaForCausalLM:
    """From the cache, or trained now and kept there; a damaged file is named in the log and made anew.

    PyTorch's own random numbers, which weights are drawn with, begin at `seed`, and are then as they were before.

    Args:
        name: of the file, before the digest.
        recipe: all that the weights depend on, beside the seed; plain values.
        untrained: a model of the same shape, which the kept weights are put into.
        train: makes it.

    Raises:
        StoreError: the cache cannot be written.
    """
    path = store.cache_dir() / "organisms" / f"{name}-{store.digest([recipe, seed])[:32]}.safetensors"
    with store.locked(path.with_suffix(".lock")):
        if path.exists():
            try:
                store.check_no_pipe(path)
                with torch.random.fork_rng(devices=[]):
                    return _with(untrained(), load_file(path))
            except (OSError, RuntimeError, SafetensorError) as error:
                log.warning("%s cannot be read (%s): training again", path, type(error).__name__)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = train()
        with store.atomic_file(path) as temporary:
            save_file(model.state_dict(), temporary)
    return model


def _with(model: LlamaForCausalLM, weights: Mapping[str, Tensor]) -> LlamaForCausalLM:
    model.load_state_dict(weights)
    return model.eval()
