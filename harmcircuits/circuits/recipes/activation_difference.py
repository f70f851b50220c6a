"""Neurons whose activation while a response is read depends most on whether its request is harmful.

    S_i = sqrt( mean over response tokens of ( a_i(token | its request) − a_i(token | a benign request) )² )

Source: Chen et al., *Finding Safety Neurons in Large Language Models* (SafetyNeuron), arXiv 2406.14144. There the two sides are
two checkpoints, before and after alignment, on the same tokens; here one model, and the same tokens after two requests.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle

import torch

from ...attribution.scores import Attribution
from ...data import Example
from ...models.protocol import HookedModel
from .scoring import as_attribution, neuron_activations


def activation_difference(model: HookedModel, harmful: Sequence[Example], benign: Sequence[Example]) -> Attribution:
    """Return S of every neuron on harmful responses, in the unit of activations; at least 0."""
    total, tokens = torch.zeros(()), 0
    for example, other in zip(harmful, cycle(benign), strict=False):
        pair = dict(neuron_activations(model, [example, replace(example, request=other.request)]))
        total, tokens = total + (pair[0] - pair[1]).square().sum(1), tokens + pair[0].shape[1]
    return as_attribution(model, neurons=(total / tokens).sqrt())
