"""How a model reads its logits off the residual stream: final norm, then unembedding.

    logit(t) = ((r − mean r) / σ ⊙ γ + β) · W_U[:, t] + b_U[t]            (an RMSNorm subtracts no mean and has no β)

With σ held at its value in the pass this is linear in r, so that what a component adds to r has a share of its own in each
logit.
γ, β and whether a mean is subtracted are found by asking the norm itself, whatever its class and storage.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..models.protocol import ModelError, alike, device_of

SCALE = "ln_final.hook_scale"
_LARGE = 100.0  # beside which the norm's epsilon is nothing


@dataclass(frozen=True, eq=False)
class Readout:
    """The linear part of it.

    Attributes:
        gain: γ.
        centres: whether the norm subtracts the mean.
        unembedding: W_U, the mean over the vocabulary subtracted: a share that all logits have alike changes no probability.
        bias: of the logits, β · W_U + b_U, likewise.
    """

    gain: Float[Tensor, " d_model"]
    centres: bool
    unembedding: Float[Tensor, "d_model d_vocab"]
    bias: Float[Tensor, " d_vocab"]

    def scaled(self, added: Float[Tensor, "asked d_model"], scale: Float[Tensor, "asked 1"]) -> Float[Tensor, "asked d_model"]:
        """What comes out of the final norm for what was `added` to its input, σ = `scale` held."""
        own = added - added.mean(-1, keepdim=True) if self.centres else added
        return own / scale * self.gain

    def of_tokens(self, normed: Float[Tensor, "asked d_model"], tokens: Int[Tensor, " asked"]) -> Float[Tensor, " asked"]:
        """The share in the logit of one token each."""
        return (normed * self.unembedding[:, tokens].T).sum(-1)

    def check(
        self,
        residual: Float[Tensor, "asked d_model"],
        scale: Float[Tensor, "asked 1"],
        logits: Float[Tensor, "asked d_vocab"],
    ) -> None:
        """Raises ModelError unless the logits of a pass are read off the residual stream in this way."""
        found = self.scaled(residual, scale) @ self.unembedding + self.bias
        if not alike(found, logits.float() - logits.float().mean(-1, keepdim=True)):
            raise ModelError(
                "this model's logits are not its final norm and unembedding alone (a soft cap or a factor comes after, or a "
                "norm that is not known here): shares would not add up to them. Llama, GPT-2, Qwen and Pythia work."
            )


@torch.no_grad()
def readout(model: Any) -> Readout:
    """That of `model`.

    Raises:
        ModelError: it has no final norm or unembedding under their usual names.
    """
    missing = [name for name in ("ln_final", "W_U") if getattr(model, name, None) is None]
    if missing or SCALE not in model.hook_dict:
        raise ModelError(f"the model has no {(*missing, SCALE)[0]!r}: direct effects need its final norm and unembedding")
    unembedding = model.W_U.detach().float()
    width = len(unembedding)
    sign = torch.ones(width, device=device_of(model))
    sign[1::2] = -1  # mean 0 and mean square 1, since every model's width is even
    up, down, flat = (_normed(model, _LARGE * at) for at in (sign, -sign, sign.abs()))
    gain, shift = (up - down) / 2 * sign, (up + down) / 2
    centres = bool((flat - shift).abs().max() < 1e-3 * gain.abs().max())
    bias = shift @ unembedding
    if getattr(model, "b_U", None) is not None:
        bias = bias + model.b_U.detach().float()
    return Readout(gain, centres, unembedding - unembedding.mean(-1, keepdim=True), bias - bias.mean())


def _normed(model: Any, residual: Float[Tensor, " d_model"]) -> Float[Tensor, " d_model"]:
    given = residual.to(model.W_U.dtype)[None, None]
    normed: Tensor = model.ln_final(given)[0, 0]
    return normed.float()
