"""Direct effects: shares of all parts sum to the logits, and are those of TransformerLens."""

import copy
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from comparisons import untouched
from conftest import LENS
from families import bridge_around, random_model
from tiny import tiny_bridge, tiny_model_folder, tiny_tokenizer
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
)
from written import written

import harmcircuits as hc
from harmcircuits.data import Example, example_rows
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models.load import load_model
from harmcircuits.statistics import mean_estimate

SHAPE = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 16, "vocab_size": 512}


def random_biases(hf_model: Any) -> Any:
    """The same weights in every run; and norms and biases that are not what they are initialised as, since a forgotten one
    would not show."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        for parameter in hf_model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn(parameter.shape) * 0.3)
            else:
                parameter.normal_(0, 0.2)
    return hf_model.eval()


def llama(folder: Path) -> tuple[Any, Any]:
    path = tiny_model_folder(folder, d_mlp=16)
    return AutoModelForCausalLM.from_pretrained(path), lambda: load_model(path, device="cpu")


def from_transformers(name: str, hf_model: Any, folder: Path) -> tuple[Any, Any]:
    tiny_tokenizer().save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return hf_model, lambda: load_model(name, hf_model=copy.deepcopy(hf_model), tokenizer=tokenizer, device="cpu")


def gpt2(folder: Path, *, value_bias: bool = True) -> tuple[Any, Any]:
    config = GPT2Config(n_layer=2, n_head=4, n_embd=32, n_inner=16, n_positions=256, vocab_size=512, initializer_range=0.2)
    hf_model = random_biases(GPT2LMHeadModel(config))
    if not value_bias:
        for block in hf_model.transformer.h:
            block.attn.c_attn.bias.data[64:] = 0
            block.ln_1.bias.data[:] = 0
    return from_transformers("gpt2", hf_model, folder)


def pythia(folder: Path) -> tuple[Any, Any]:
    config = GPTNeoXConfig(**SHAPE, initializer_range=0.2, use_parallel_residual=True)
    return from_transformers("EleutherAI/pythia-70m", random_biases(GPTNeoXForCausalLM(config)), folder)


FINAL_NORM = {"llama": "model.norm", "gpt2": "transformer.ln_f", "pythia": "gpt_neox.final_layer_norm"}
FIRST_BLOCK = {"llama": "model.layers.0", "gpt2": "transformer.h.0", "pythia": "gpt_neox.layers.0"}
OUTGOING = {
    "llama": (),
    "gpt2": ("attn.c_proj", "mlp.c_proj"),
    "pythia": ("attention.dense", "mlp.dense_4h_to_h"),
}


def by_hand(kind: str, hf_model: Any, prompt: list[int], response: list[int]) -> tuple[float, float]:
    """Of the tokens of a response, mean logit above the mean of all logits, and the part of it that neither heads nor neurons
    write: embedding, biases. From transformers alone."""
    hf_model.requires_grad_(False)
    norm, first = hf_model.get_submodule(FINAL_NORM[kind]), hf_model.get_submodule(FIRST_BLOCK[kind])
    seen: dict[str, Tensor] = {}
    handles = [
        norm.register_forward_pre_hook(lambda _, args: seen.__setitem__("last", args[0][0])),
        first.register_forward_pre_hook(lambda _, args, named: seen.__setitem__("embedding", args[0][0]), with_kwargs=True),
    ]
    with torch.inference_mode():
        logits = hf_model(torch.tensor([prompt + response])).logits[0]
    for handle in handles:
        handle.remove()
    at = torch.arange(len(prompt) - 1, len(prompt) + len(response) - 1)
    layers = FIRST_BLOCK[kind].removesuffix(".0")
    biases = [layer.get_submodule(name).bias for layer in hf_model.get_submodule(layers) for name in OUTGOING[kind]]
    rest, last = seen["embedding"][at] + sum(biases), seen["last"][at]
    if kind != "llama":
        rest, last = (part - part.mean(-1, keepdim=True) for part in (rest, last))
    epsilon = norm.variance_epsilon if kind == "llama" else norm.eps
    normed = rest / (last.pow(2).mean(-1, keepdim=True) + epsilon).sqrt() * norm.weight + getattr(norm, "bias", 0)
    unembedding = hf_model.get_output_embeddings().weight
    shares = normed @ (unembedding - unembedding.mean(0)).T
    each = torch.arange(len(response)), torch.tensor(response)
    return float((logits - logits.mean(-1, keepdim=True))[at][each].mean()), float(shares[each].mean())


def components(model: Any) -> Iterator[dict[str, tuple[int, int]]]:
    for layer in range(model.cfg.n_layers):
        yield from ({"head": (layer, head)} for head in range(model.cfg.n_heads))
        yield from ({"neuron": (layer, neuron)} for neuron in range(model.cfg.d_mlp))


@pytest.mark.model
@pytest.mark.parametrize("kind", ["llama", "gpt2", "pythia"])
def test_shares_of_all_parts_sum_to_the_logits(kind: str, tmp_path: Path) -> None:
    hf_model, load = {"llama": llama, "gpt2": gpt2, "pythia": pythia}[kind](tmp_path / "model")
    model = load()
    examples = written(model.tokenizer)[1:]
    total = sum(hc.direct_effects(model, examples, **one).per_example for one in components(model))
    for share, row in zip(total.tolist(), example_rows(model, examples), strict=True):
        logit, rest = by_hand(kind, hf_model, list(row.tokens[: row.start]), list(row.tokens[row.start :]))
        assert share + rest == pytest.approx(logit, abs=2e-4)
    assert total.abs().max() > 0.05, "a sum of nothing would prove nothing"


@pytest.mark.skipif(LENS != 4, reason="compares with TransformerLens 4's own tool")
@pytest.mark.parametrize("made", [llama, partial(gpt2, value_bias=False)], ids=["llama", "gpt2"])
@torch.no_grad()
def test_heads_are_those_of_transformer_lens(made: Any, tmp_path: Path) -> None:
    """Folding moves what is constant in values (their bias, and that of the norm before them), which heads write here, into the
    layer's bias: without it both say the same."""
    from transformer_lens.tools.analysis import direct_logit_attribution

    _, load = made(tmp_path / "model")
    model, folded = load(), load()
    folded.enable_compatibility_mode()  # folds norms into the weights and centres the unembedding, in place
    examples = written(model.tokenizer)[:2]
    rows = example_rows(model, examples)
    for at, row in enumerate(rows):
        positions = list(range(row.start - 1, row.stop - 1))
        _, cache = folded.run_with_cache(torch.tensor([row.tokens]))
        found = [
            direct_logit_attribution(folded, cache=cache, answer_tokens=row.tokens[position + 1], unit="head", pos=position)
            for position in positions
        ]
        heads = torch.stack([one.attribution.squeeze(-1) for one in found]).mean(0)
        labels = found[0].labels
        for head in ((0, 0), (0, 3), (1, 2)):
            own = hc.direct_effects(model, examples, head=head)
            assert own.component in labels
            assert float(own.per_example[at]) == pytest.approx(float(heads[labels.index(own.component)]), abs=2e-4)


def test_tokens_are_the_extremes_of_the_direct_path(tiny: Any, examples: list[Example]) -> None:
    """A neuron adds its activation times a row of W_out: mean over positions, behind the norm, times W_U."""
    layer, neuron = 1, 7
    expected = torch.zeros(tiny.cfg.d_vocab)
    with torch.no_grad():
        for row in example_rows(tiny, examples):
            _, cache = tiny.run_with_cache(torch.tensor([row.tokens]))
            at = slice(row.start - 1, row.stop - 1)
            residual = cache[f"blocks.{tiny.cfg.n_layers - 1}.hook_resid_post"][0, at]
            added = cache[f"blocks.{layer}.mlp.hook_post"][0, at, neuron, None] * tiny.blocks[layer].mlp.W_out[neuron]
            gain = tiny.ln_final(residual[None])[0] / residual  # γ / σ of an RMSNorm, at each position
            expected += (added * gain @ tiny.W_U).mean(0) / len(examples)
    expected -= expected.mean()
    found = hc.direct_effects(tiny, examples, neuron=(layer, neuron), k=5).tokens
    order = expected.argsort(descending=True).tolist()
    assert found["id"].tolist() == order[:5] + order[-5:]
    assert found["effect"].tolist() == pytest.approx([float(expected[token]) for token in found["id"]], abs=1e-4)
    assert found["token"].tolist() == [tiny.tokenizer.decode([token]) for token in found["id"]]


@pytest.mark.parametrize("one", [{"head": (1, 2)}, {"neuron": (0, 5)}])
def test_batches_and_order_change_nothing_and_the_model_stays(tiny: Any, examples: list[Example], one: dict) -> None:
    with untouched(tiny, trainable=False):
        whole = hc.direct_effects(tiny, examples, **one)
    single = [hc.direct_effects(tiny, [example], **one) for example in examples]
    torch.testing.assert_close(whole.per_example, torch.cat([part.per_example for part in single]), atol=1e-5, rtol=1e-4)
    turned = hc.direct_effects(tiny, examples[::-1], **one, batch_size=1)
    drawn = ["low", "high"]  # of examples, by their places
    pd.testing.assert_frame_equal(whole.tokens.drop(columns=drawn), turned.tokens.drop(columns=drawn), atol=1e-5)
    assert not any(point.fwd_hooks for point in tiny.hook_dict.values())


def test_a_tokens_interval_is_that_of_its_effects_on_single_examples(tiny: Any, examples: list[Example]) -> None:
    whole = hc.direct_effects(tiny, examples, head=(1, 2), k=3).tokens
    every = [hc.direct_effects(tiny, [one], head=(1, 2), k=tiny.cfg.d_vocab // 2).tokens for one in examples]
    for row in whole.itertuples():
        own = mean_estimate([float(one.set_index("id")["effect"][row.id]) for one in every])
        assert (row.effect, row.low, row.high) == pytest.approx((own.value, own.low, own.high), abs=1e-5)
        assert row.low < row.effect < row.high
    assert hc.direct_effects(tiny, examples[:2], head=(1, 2)).tokens[["low", "high"]].isna().all(None)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "give one component"),
        ({"head": (0, 0), "neuron": (0, 0)}, ValueError, "give one component"),
        ({"head": (0, 9)}, HarmcircuitsError, "2 layers of 4 heads"),
        ({"neuron": (0, 0), "k": 0}, ValueError, "k=0"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tiny: Any, examples: list[Example], options: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        hc.direct_effects(tiny, examples, **options)


def test_no_examples_and_prompts_are_refused(tiny: Any, examples: list[Example]) -> None:
    with pytest.raises(ValueError, match="0 examples"):
        hc.direct_effects(tiny, [], head=(0, 0))
    with pytest.raises(HarmcircuitsError, match="elicit it first"):
        hc.direct_effects(tiny, [hc.Prompt(request="Bake.")], head=(0, 0))


@pytest.mark.parametrize("one", [{"head": (0, 1)}, {"neuron": (0, 1)}])
def test_a_norm_behind_the_layer_is_refused(one: dict) -> None:
    """In Gemma a norm lies between what heads and neurons write and the residual stream."""
    model = bridge_around("gemma3", random_model("gemma3"))
    with pytest.raises(HarmcircuitsError, match="not the sum of its components"):
        hc.direct_effects(model, written(model.tokenizer), **one)


def test_logits_that_are_not_norm_and_unembedding_alone_are_refused(hooked: bool, tmp_path: Path) -> None:
    model = tiny_bridge(tmp_path / "model", hooked=hooked)
    point = "unembed.hook_out" if "unembed.hook_out" in model.hook_dict else "ln_final.hook_normalized"
    with (
        model.hooks(fwd_hooks=[(point, lambda logits, hook: 2 * torch.tanh(logits / 2))]),
        pytest.raises(HarmcircuitsError, match="a soft cap comes after"),
    ):
        hc.direct_effects(model, written(model.tokenizer), head=(0, 0))
