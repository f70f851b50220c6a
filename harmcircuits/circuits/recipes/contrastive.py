"""Neurons that tell harmful from benign requests where the answer is about to begin (contrastive neuron attribution, CNA).

    S_i = | mean over harmful requests of a_i(last token) − mean over benign requests of a_i(last token) |

Source: Herring et al., *Targeted Neuron Modulation via Contrastive Pair Search*, arXiv 2605.12290. There neurons that are large
on most prompts of any kind are left out first; here they are not.
"""

from collections.abc import Sequence

import torch

from ...attribution.scores import Attribution
from ...data import Example
from ...models.protocol import HookedModel
from .scoring import as_attribution, neuron_activations, without_answer


def contrastive(model: HookedModel, harmful: Sequence[Example], benign: Sequence[Example]) -> Attribution:
    """Return S of every neuron at the end of the requests, without a prefill, in the unit of activations; at least 0."""
    means = []
    for examples in (harmful, benign):
        every = [activations[:, 0] for _, activations in neuron_activations(model, without_answer(examples))]
        means.append(torch.stack(every).mean(0))
    return as_attribution(model, neurons=(means[0] - means[1]).abs())
