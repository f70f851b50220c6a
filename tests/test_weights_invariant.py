"""What must not change weight scores: batches, padding, precision and the metric's own form."""

import pytest
import torch
from tiny import tiny_bridge, tiny_model_folder
from untouched import untouched
from weighed import NAMES, differ, equal
from written import written

from harmcircuits.attribution.weights import WeightAttribution, attribute_weights
from harmcircuits.models.load import load_model
from harmcircuits.models.matrices import matrices


def test_batches_and_padding_change_nothing(tiny, examples):
    alone = [attribute_weights(tiny, [example]) for example in examples]
    mean = WeightAttribution(
        *({name: sum(getattr(each, kind)[name] for each in alone) / 4 for name in NAMES} for kind in ("signed", "absolute")), 4
    )
    for batch_size in (1, 2, 3, 4):
        assert equal(attribute_weights(tiny, examples, batch_size=batch_size), mean, 3e-6)
        apart = attribute_weights(tiny, examples, benign=examples[::-1], batch_size=batch_size)
        assert equal(apart, mean, 3e-6), "signed sums over a batch are the sums of its examples"


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


@pytest.mark.model
@pytest.mark.parametrize("trainable", [False, True])
def test_no_parameter_gets_a_gradient_and_no_hook_stays(tmp_path, tiny, trainable, examples):
    model = tiny_bridge(tmp_path / "own", hooked=type(tiny).__name__ == "HookedTransformer")
    with untouched(model, trainable=trainable), torch.no_grad():
        W = attribute_weights(model, examples)
    assert equal(W, attribute_weights(tiny, examples), 1e-6)
    assert not any(scores.requires_grad for scores in (*W.signed.values(), *W.absolute.values()))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules_with_taps(model))


def modules_with_taps(model):
    return {tap.module for matrix in matrices(model) for tap in (matrix.source, matrix.sink)}
