"""Each architecture: loaded from a folder and scored, by the same truths; and the kinds of models that are refused."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from comparisons import TOKENS, close, reference
from families import GROUPED, IDS, MODELS, SIZES, random_model
from tiny import tiny_tokenizer
from transformers import (
    BertConfig,
    BertForMaskedLM,
    JambaConfig,
    JambaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)
from written import written

from harmcircuits.ablation.sweep import sweep
from harmcircuits.attribution.first_order import attribute
from harmcircuits.attribution.weights import attribute_weights
from harmcircuits.circuits import Circuit
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models.load import load_model
from harmcircuits.models.protocol import geometry

pytestmark = pytest.mark.model
PARTS = (
    Circuit(heads=[(0, 1)]), Circuit(heads=[(1, 3)]), Circuit(neurons=[(0, 9)]), Circuit(neurons=[(1, 40)]),
)  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model of each architecture from a folder, examples, and their scores."""
    folder = tmp_path_factory.mktemp("family") / "model"
    random_model(request.param).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    model = load_model(folder, device="cpu")
    examples = written(model.tokenizer)[:2]
    return SimpleNamespace(folder=folder, model=model, examples=examples, scores=attribute(model, examples))


def test_a_folder_of_each_has_the_logits_of_transformers(loaded):
    assert close(loaded.model(TOKENS), reference(loaded.folder))
    shape = geometry(loaded.model)
    assert (shape.n_layers, shape.n_heads, shape.d_mlp) == (2, 4, 64)
    assert loaded.scores.heads.abs().min() > 0 and loaded.scores.neurons.abs().max() > 1e-3


def test_shrinking_a_component_a_little_raises_the_loss_by_its_score(loaded):
    # float32: the difference of two losses of some nats is good to 1e-6, of which a step makes 1e-6 / 0.02
    step = 1e-2
    less, more = (sweep(loaded.model, PARTS, loaded.examples, method="scale", alpha=alpha) for alpha in (1 - step, 1 + step))
    for part, rise in zip(PARTS, ((less - more) / (2 * step)).mean(), strict=True):
        kind, at = ("heads", part.heads[0]) if part.heads else ("neurons", part.neurons[0])
        assert rise == pytest.approx(getattr(loaded.scores, kind)[at].item(), rel=1e-2, abs=2e-4), f"{kind} {at}"


def test_scores_of_the_weights_that_read_a_component_add_up_to_its_own(loaded):
    """Σ_i W_ij ∂L/∂W_ij = a_j ∂L/∂a_j, summed over positions: columns of `mlp.out` and of `attn.o`."""
    signed, scores = attribute_weights(loaded.model, loaded.examples).signed, loaded.scores
    heads = torch.stack([signed[f"blocks.{layer}.attn.o"].sum(0).view(4, -1).sum(1) for layer in (0, 1)])
    neurons = torch.stack([signed[f"blocks.{layer}.mlp.out"].sum(0) for layer in (0, 1)])
    for found, own in ((heads, scores.heads), (neurons, scores.neurons)):
        assert (found - own).abs().max() < 1e-5 * own.abs().max()


# what is refused

MAMBA = {"num_hidden_layers": 2, "hidden_size": 32, "state_size": 4, "vocab_size": 512}
HYBRID = {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 512}
EXPERTS = {"num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16}

REFUSED = {
    "mixtral": (
        lambda: MixtralForCausalLM(MixtralConfig(**GROUPED, num_local_experts=2, **IDS)),
        "is a mixture of experts",
    ),
    "qwen2-moe": (
        lambda: Qwen2MoeForCausalLM(Qwen2MoeConfig(**GROUPED, **EXPERTS, **IDS)),
        "is a mixture of experts",
    ),
    "mamba": (
        lambda: MambaForCausalLM(MambaConfig(**MAMBA, **IDS)),
        "is a state-space or recurrent model",
    ),
    "jamba": (
        lambda: JambaForCausalLM(JambaConfig(**GROUPED, **HYBRID, num_experts=2, **IDS)),
        "is a state-space or recurrent model",
    ),
    "bert": (
        lambda: BertForMaskedLM(BertConfig(**SIZES, **IDS)),
        "is an encoder (bert)",
    ),
    "t5": (
        lambda: T5ForConditionalGeneration(T5Config(**T5, **IDS)),
        "is an encoder-decoder (t5)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_kinds_of_models_are_refused_before_weights_are_read(name, tmp_path):
    make, message = REFUSED[name]
    hf_model = make()
    hf_model.save_pretrained(tmp_path / name)
    tiny_tokenizer().save_pretrained(tmp_path / name)
    (tmp_path / name / "model.safetensors").unlink()
    with pytest.raises(HarmcircuitsError, match=re.escape(f"{name}' {message}")) as caught:
        load_model(tmp_path / name, device="cpu")
    assert "Dense decoder-only transformers work (Llama, GPT-2, Pythia, Qwen2, Qwen3, Gemma, OLMo)" in str(caught.value)


def test_a_damaged_count_of_layers_keeps_nobody_waiting(folder):
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 99999999999'))
    with pytest.raises(HarmcircuitsError, match=r"model' is a model of more than 10,000 layers"):
        load_model(folder, device="cpu")


@pytest.mark.parametrize("name", ["jamba", "bert"])
def test_they_are_refused_as_loaded_models_too(name):
    make, message = REFUSED[name]
    with pytest.raises(HarmcircuitsError, match=re.escape(f"'mine' {message.partition(' (')[0]}")):
        load_model("mine", hf_model=make().eval(), tokenizer=tiny_tokenizer(), device="cpu")
