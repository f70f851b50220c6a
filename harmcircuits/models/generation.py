"""Writing by transformers' own generation, which is faster than a model with hooks, with the draws of `decode`."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel

from .decode import Drawing, check_numbers, left_padded


@torch.no_grad()
def write_plain(
    plain: PreTrainedModel, pad_id: int, batch: Mapping[int, Sequence[int]], drawing: Drawing
) -> Int[Tensor, "b step"]:
    """What `write_hooked` writes with the bridge that `plain` comes from, without hooks."""
    tokens, mask = (tensor.to(plain.device) for tensor in left_padded(list(batch.values()), pad_id))
    settings = GenerationConfig(
        max_new_tokens=drawing.max_new_tokens, do_sample=False, eos_token_id=list(drawing.stop_ids), pad_token_id=pad_id
    )
    drawn = LogitsProcessorList([_Drawn(drawing, list(batch), tokens.shape[1])])
    whole = plain.generate(tokens, attention_mask=mask, generation_config=settings, logits_processor=drawn)
    return whole[:, tokens.shape[1] :]  # type: ignore[no-any-return]


class _Drawn(LogitsProcessor):  # type: ignore[misc]  # transformers has no types
    """Leaves the token that is drawn as the only one, so that greedy generation takes it."""

    def __init__(self, drawing: Drawing, rows: list[int], start: int):
        self.drawing, self.rows, self.start = drawing, rows, start

    def __call__(self, input_ids: Int[Tensor, "b pos"], scores: Float[Tensor, "b d_vocab"]) -> Float[Tensor, "b d_vocab"]:
        written = input_ids[:, self.start :]
        done = torch.isin(written, torch.tensor(list(self.drawing.stop_ids), device=written.device)).any(1)
        check_numbers(scores.float(), done, self.rows, written.shape[1])
        tokens = self.drawing.draw(scores.float(), written.shape[1])
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)
