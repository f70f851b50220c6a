"""Weight scores against autograd in plain transformers, one matrix and example at a time; the result; errors."""

import plain
import pytest
import torch
from comparisons import differ
from tiny import tiny_bridge, tiny_model, tiny_model_folder
from written import written

from harmcircuits.ablation.ablate import ablated
from harmcircuits.attribution.metrics import BoundMetric
from harmcircuits.attribution.weights import WeightAttribution, attribute_weights
from harmcircuits.circuits import Circuit, WeightMask
from harmcircuits.data import example_rows, make_batch
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models.forward import logits_at
from harmcircuits.models.load import load_model
from harmcircuits.models.matrices import matrices

NAMES = [f"blocks.{layer}.{kind}" for layer in (0, 1) for kind in plain.LLAMA]


class Readout:
    """A linear metric: a fixed direction of the residual stream after the last block, summed over what is asked."""

    direction = torch.linspace(-1, 1, 32)

    def for_model(self, model, examples):
        def measure(batch):
            residual = []
            keep = lambda activation, hook: residual.append(activation) or activation
            with model.hooks(fwd_hooks=[("blocks.1.hook_resid_post", keep)]):
                logits_at(model, batch.tokens, batch.attention_mask, batch.positions)
            values = (residual[0] @ self.direction).flatten()[batch.positions]
            return torch.zeros(len(batch.tokens)).index_add(0, batch.row_of, values)

        return BoundMetric(example_rows(model, examples), measure)

    def of(self, model, examples):
        measure = self.for_model(model, examples)
        with torch.no_grad():
            return measure.score(make_batch(model, measure.rows)).mean().item()


# what the numbers are


def test_scores_are_those_of_autograd_one_example_and_one_matrix_at_a_time(tiny, examples):
    rows, hf_model = [plain.ids_of(tiny, example) for example in examples], tiny_model()
    own, protected = attribute_weights(tiny, examples), attribute_weights(tiny, examples[:1], benign=examples[1:])
    assert list(own.signed) == list(own.absolute) == list(protected.signed) == NAMES
    assert (own.n_examples, own.n_benign, protected.n_examples, protected.n_benign) == (4, 0, 1, 3)
    for name in NAMES:
        signed, absolute = plain.weight_scores(hf_model, name, rows)
        assert own.signed[name].dtype == own.absolute[name].dtype == torch.float32
        assert own.signed[name].shape == signed.shape
        assert differ(own.signed[name], signed) < 1e-5 and differ(own.absolute[name], absolute) < 1e-5
        assert differ(protected.signed[name], plain.weight_scores(hf_model, name, rows[:1])[0]) < 1e-5
        assert differ(protected.absolute[name], plain.weight_scores(hf_model, name, rows[1:])[1]) < 1e-5


@pytest.mark.model
def test_scores_are_exact_and_additive_where_the_metric_is_linear_in_the_weights(tiny, examples, tmp_path):
    """Of the last block: W_out; and, where its MLP is off, W_O and W_V, since the patterns depend on neither."""
    hooked, metric = type(tiny).__name__ == "HookedTransformer", Readout()
    model = tiny_bridge(tmp_path, hooked=hooked)
    own = {matrix.name: matrix for matrix in matrices(model)}
    generator = torch.Generator().manual_seed(0)
    for name in ("blocks.1.mlp.out", "blocks.1.attn.o", "blocks.1.attn.v"):
        if name.startswith("blocks.1.attn"):
            own["blocks.1.mlp.out"].parameter.data.zero_()
        W, intact = attribute_weights(model, examples, metric=metric, batch_size=3), metric.of(model, examples)
        A = W.signed[name].flatten()
        subsets = [torch.tensor([flat]) for flat in A.abs().topk(5).indices] + [torch.arange(A.numel())]
        subsets += [torch.randperm(A.numel(), generator=generator)[:size] for size in (2, 30, 500)]
        for flat in subsets:
            with ablated(model, WeightMask(indices={name: flat}, shapes=W.shapes)):
                rise = metric.of(model, examples) - intact
            assert rise == pytest.approx(A[flat].sum().item(), rel=1e-4, abs=1e-3)
        assert A.abs().max() > 0.5, "single weights are far above the tolerance"


def test_scores_are_of_the_ablated_model_inside_an_ablation(tiny, examples):
    circuit, name = Circuit(heads=[(0, 1)], neurons=[(1, 60)]), "blocks.1.mlp.out"
    with ablated(tiny, circuit):
        W = attribute_weights(tiny, examples)
    zeroed = plain.without(tiny_model(), heads=circuit.heads, neurons=circuit.neurons)
    signed, absolute = plain.weight_scores(zeroed, "blocks.0.attn.q", [plain.ids_of(tiny, example) for example in examples])
    assert differ(W.signed["blocks.0.attn.q"], signed) < 1e-5 and differ(W.absolute["blocks.0.attn.q"], absolute) < 1e-5
    assert not W.signed[name][:, 60].any() and W.signed[name][:, 59].all(), "a cut neuron's outgoing weights do nothing"


@pytest.mark.model
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_products_of_half_precision_are_float32(tmp_path, dtype):
    """Against products in float64 of what passes the layer, rounded as it is: nothing more is lost, small scores neither."""
    model, kept = load_model(tiny_model_folder(tmp_path / "half"), device="cpu", dtype=dtype), {}
    example, matrix = written(model.tokenizer)[0], next(one for one in matrices(model) if one.name == "blocks.1.mlp.out")

    def read(y):
        if y.requires_grad:
            y.register_hook(lambda g: kept.update(g=g))

    handles = [matrix.source.listen(lambda x: kept.update(x=x.detach())), matrix.sink.listen(read)]
    W = attribute_weights(model, [example])
    for handle in handles:
        handle.remove()
    product = -matrix.values().double() * (kept["g"][0].double().T @ kept["x"][0].double())
    assert differ(W.signed[matrix.name], product.float()) < 1e-5
    assert (W.absolute[matrix.name] == 0).sum() <= (product.float() == 0).sum()


# the result


def test_the_table_and_what_is_printed(tiny, examples):
    W = attribute_weights(tiny, examples[:2], benign=examples[2:])
    frame = W.table()
    assert frame["matrix"].tolist() == NAMES and frame["layer"].tolist() == [0] * 7 + [1] * 7
    assert frame["kind"].tolist() == 2 * list(plain.LLAMA)
    row = frame.iloc[11]
    assert (row["rows"], row["columns"]) == (64, 32) == tuple(W.signed["blocks.1.mlp.gate"].shape)
    assert row["signed_sum"] == pytest.approx(W.signed["blocks.1.mlp.gate"].sum().item())
    assert row["absolute_sum"] == pytest.approx(W.absolute["blocks.1.mlp.gate"].sum().item())
    sizes = {name: scores.abs().sum().item() for name, scores in W.signed.items()}
    assert frame["signed_magnitude"].tolist() == pytest.approx(list(sizes.values()))
    assert frame["share"].tolist() == pytest.approx([size / sum(sizes.values()) for size in sizes.values()])
    assert W.figure().data[0].z[1][4] == pytest.approx(100 * row["share"]), "layer 1, the fifth kind"
    assert repr(W) == "WeightAttribution(18432 weights in 14 matrices; A over 2 examples, U over 2 benign)"
    assert "U over the same" in repr(attribute_weights(tiny, examples))


def test_files(tiny, examples, tmp_path):
    W = attribute_weights(tiny, examples[:3], benign=examples[3:])
    W.save(tmp_path / "scores.safetensors")
    read = WeightAttribution.load(tmp_path / "scores.safetensors")
    for name in NAMES:
        assert torch.equal(read.signed[name], W.signed[name]) and torch.equal(read.absolute[name], W.absolute[name])
    assert list(read.signed) == NAMES and (read.n_examples, read.n_benign) == (3, 1)
    with pytest.raises(HarmcircuitsError, match=r"cannot read .*absent"):
        WeightAttribution.load(tmp_path / "absent")
    WeightMask(shapes=W.shapes).save(tmp_path / "mask.safetensors")
    with pytest.raises(HarmcircuitsError, match="holds no weight attribution"):
        WeightAttribution.load(tmp_path / "mask.safetensors")


# errors


def test_a_metric_that_runs_the_model_twice_is_refused(tiny, examples):
    class Twice(Readout):
        def for_model(self, model, prompts):
            measure = super().for_model(model, prompts)
            return BoundMetric(measure.rows, lambda batch: measure.score(batch) + measure.score(batch))

    with pytest.raises(HarmcircuitsError, match="must run the model once"):
        attribute_weights(tiny, examples, metric=Twice())
