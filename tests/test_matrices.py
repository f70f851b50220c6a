"""Which matrices a model has, in every layout: fused, transposed, grouped, gated; and which models are refused."""

import plain
import pytest
import torch
from conftest import needs_three
from families import GROUPED, IDS, MODELS, PYTHIA, UNGATED, blocks_of, bridge_around, canonical, random_model, weights_of
from tiny import tiny_tokenizer
from transformers import AutoTokenizer, MixtralConfig, MixtralForCausalLM
from written import written

from harmcircuits.ablation.ablate import ablated
from harmcircuits.ablation.sweep import sweep
from harmcircuits.attribution.first_order import attribute
from harmcircuits.attribution.weights import attribute_weights
from harmcircuits.circuits import Circuit, WeightMask
from harmcircuits.data import loss
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models.load import load_model
from harmcircuits.models.matrices import matrices


@pytest.mark.model
@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_autograd_in_every_layout(name):
    hf_model = random_model(name)
    model = bridge_around(name, hf_model)
    examples = written(model.tokenizer)[:2]
    W = attribute_weights(model, examples)
    products = []
    for example in examples:
        hf_model.zero_grad()
        plain.nll(hf_model, *plain.ids_of(model, example)).mean().backward()
        own = [{key: w.detach() * w.grad for key, w in weights_of(block).items()} for block in blocks_of(hf_model)]
        products.append({at: part for layer, of in enumerate(own) for at, part in canonical(name, layer, of.get).items()})
    assert set(W.signed) == set(products[0]) and len(W.signed) == 2 * (6 if name in UNGATED else 7)
    for at, A in W.signed.items():
        each = torch.stack([product[at] for product in products])
        assert (A + each.mean(0)).abs().max() < 2e-5 * each.abs().max()
        assert (W.absolute[at] - each.abs().mean(0)).abs().max() < 2e-5 * each.abs().max()
        assert each.abs().max() > 1e-4


@pytest.mark.model
@pytest.mark.parametrize("name", MODELS)
def test_masked_weights_are_off_in_every_layout(name):
    hf_model = random_model(name)
    model = bridge_around(name, hf_model)
    examples, found = written(model.tokenizer)[:2], matrices(model)
    generator = torch.Generator().manual_seed(0)
    flat = {matrix.name: torch.randperm(matrix.parameter.numel(), generator=generator)[:100] for matrix in found}
    mask = WeightMask(indices=flat, shapes={matrix.name: matrix.shape for matrix in found})
    intact = loss(model, examples)
    with ablated(model, mask):
        masked = loss(model, examples)
    for layer, block in enumerate(blocks_of(hf_model)):
        own = {key: weight.data for key, weight in weights_of(block).items()}
        for at, part in canonical(name, layer, own.get).items():
            rows, columns = torch.unravel_index(mask.indices[at], part.shape)
            if name in PYTHIA and at.endswith(("q", "k", "v")):  # heads are interleaved there: no view of them
                fused = block.attention.query_key_value.weight.data.view(4, 3, 8, 32)
                fused[rows // 8, "qkv".index(at[-1]), rows % 8, columns] = 0
            else:
                part[rows, columns] = 0
    zeroed = [plain.loss(hf_model, *plain.ids_of(model, example)) for example in examples]
    assert torch.allclose(masked, torch.tensor(zeroed), atol=1e-4) and (masked - intact).abs().max() > 1e-3
    assert torch.equal(loss(model, examples), intact)


# what is refused


@pytest.mark.model
def test_experts_have_heads_and_neither_neurons_nor_matrices():
    config = MixtralConfig(**GROUPED, num_local_experts=2, **IDS)
    model = load_model("experts", hf_model=MixtralForCausalLM(config).eval(), tokenizer=tiny_tokenizer(), device="cpu")
    examples = written(model.tokenizer)
    swept = lambda model, examples: sweep(model, [Circuit("L1N3")], examples)
    for message, use in (
        (r"layer 0 has no linear layer 'mlp\..*Mixtures of experts.*do not work.*Llama, GPT-2", attribute_weights),
        (r"no hook point 'blocks\.0\.mlp\.hook_post'.*Llama, GPT-2", attribute),
        (r"no hook point 'blocks\.1\.mlp\.hook_post'.*Llama, GPT-2", swept),
    ):
        with pytest.raises(HarmcircuitsError, match=message):
            use(model, examples)
    intact = loss(model, examples)
    with ablated(model, Circuit("L1H3")):
        assert (loss(model, examples) - intact).abs().max() > 0


@pytest.mark.model
def test_quantised_and_adapted_and_shared_matrices_are_refused():
    model = bridge_around("qwen2", random_model("qwen2"))
    linear, down = model.blocks[1].attn.o.original_component, model.blocks[1].mlp.out.original_component
    linear.lora_A = torch.nn.Linear(32, 4)
    with pytest.raises(HarmcircuitsError, match=r"layer 1 has a matrix '.*lora_A\.weight' of shape \(4, 32\).*Merge adapters"):
        matrices(model)
    del linear.lora_A
    kept, down.weight = down.weight, torch.nn.Parameter(torch.zeros(32, 64, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(HarmcircuitsError, match=r"blocks\.1\.mlp\.out is stored as torch\.uint8, quantised"):
        matrices(model)
    down.weight = model.blocks[0].mlp.out.original_component.weight
    with pytest.raises(HarmcircuitsError, match="layers of this model share their weights"):
        matrices(model)
    down.weight = kept
    assert len(matrices(model)) == 14


# HookedTransformer


def hooked_transformer(folder, **settings):
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    sizes = {"n_layers": 2, "d_model": 32, "n_ctx": 256, "d_head": 8, "n_heads": 4, "d_mlp": 64, "d_vocab": 512}
    config = HookedTransformerConfig(**sizes, act_fn="gelu", seed=0, device="cpu", **settings)
    model = HookedTransformer(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    tiny_tokenizer().save_pretrained(folder)  # it is read again from where it lies
    model.set_tokenizer(AutoTokenizer.from_pretrained(folder))
    return model.eval()


@pytest.mark.model
@needs_three
@pytest.mark.parametrize("settings", [{}, {"gated_mlp": True, "n_key_value_heads": 2}, {"parallel_attn_mlp": True}])
def test_a_hooked_transformer_of_any_layout(settings, tmp_path):
    model = hooked_transformer(tmp_path, **settings)
    examples = written(model.tokenizer)[:2]
    W = attribute_weights(model, examples)
    of = dict(model.named_parameters())
    grouped = "_" if "n_key_value_heads" in settings else ""
    layout = {"attn.q": "attn.W_Q", "attn.k": f"attn.{grouped}W_K", "attn.v": f"attn.{grouped}W_V"}
    layout |= {"attn.o": "attn.W_O", "mlp.in": "mlp.W_in", "mlp.out": "mlp.W_out"}
    layout |= {"mlp.gate": "mlp.W_gate"} if "gated_mlp" in settings else {}
    assert set(W.signed) == {f"blocks.{layer}.{kind}" for layer in (0, 1) for kind in layout}
    each = {at: [] for at in W.signed}
    for example in examples:
        prompt, response = plain.ids_of(model, example)
        log_p = model(torch.tensor([[*prompt, *response]]), return_type="logits")[0].log_softmax(-1)
        nll = -log_p[torch.arange(len(response)) + len(prompt) - 1, torch.tensor(response)].mean()
        for at in W.signed:
            _, layer, kind = at.split(".", 2)
            parameter = of[f"blocks.{layer}.{layout[kind]}"]
            product = parameter.detach() * torch.autograd.grad(nll, parameter, retain_graph=True)[0]
            if kind in ("attn.q", "attn.k", "attn.v"):
                product = torch.cat([head.T for head in product])
            elif kind == "attn.o":
                product = torch.cat(list(product)).T
            else:
                product = product.T
            each[at].append(product)
    for at, A in W.signed.items():
        products = torch.stack(each[at])
        assert (A + products.mean(0)).abs().max() < 2e-5 * products.abs().max()
        assert (W.absolute[at] - products.abs().mean(0)).abs().max() < 2e-5 * products.abs().max()


@pytest.mark.model
@needs_three
def test_settings_that_split_a_matrix_are_refused(tmp_path):
    model = hooked_transformer(tmp_path)
    for setting in ("use_attn_in", "use_split_qkv_input", "use_attn_result"):
        setattr(model.cfg, setting, True)
        with pytest.raises(HarmcircuitsError, match=rf"cfg\.{setting} is on"):
            matrices(model)
        setattr(model.cfg, setting, False)
    assert len(matrices(model)) == 12
