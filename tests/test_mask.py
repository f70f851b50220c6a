"""Weight masks: sets of weights, files, and models that they fit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from harmcircuits.circuits import Circuit, MaskError, WeightMask
from harmcircuits.models.matrices import matrices

SHAPES = {"blocks.0.attn.q": (3, 4), "blocks.0.mlp.in": (5, 2), "blocks.10.attn.q": (2, 2)}
weights = st.sets(st.sampled_from([(name, flat) for name, (rows, columns) in SHAPES.items() for flat in range(rows * columns)]))


def mask_of(chosen) -> WeightMask:
    chosen = list(chosen)
    return WeightMask(indices={name: [flat for at, flat in chosen if at == name] for name in SHAPES}, shapes=SHAPES)


def parts(mask: WeightMask) -> set:
    return {(name, int(flat)) for name, indices in mask.indices.items() for flat in indices}


masks = st.builds(mask_of, weights)


# algebra


@given(masks, masks)
def test_masks_are_sets(one, two):
    assert parts(one | two) == parts(one) | parts(two)
    assert parts(one & two) == parts(one) & parts(two)
    assert parts(one - two) == parts(one) - parts(two)
    assert len(one) == len(parts(one)) and one.fraction == len(one) / 26
    assert (one == two) == (parts(one) == parts(two)) and (one != two or hash(one) == hash(two))
    either = parts(one) | parts(two)
    assert one.jaccard(two) == (len(parts(one) & parts(two)) / len(either) if either else 1)
    assert one.jaccard(two) == two.jaccard(one) and one.jaccard(one) == 1


@given(weights)
def test_order_and_repetition_and_the_library_mean_nothing(chosen):
    twice = [*chosen, *list(chosen)[::-1]]
    arrays = {name: np.array([flat for at, flat in twice if at == name], dtype=np.int32) for name in SHAPES}
    assert WeightMask(indices=arrays, shapes=SHAPES) == mask_of(chosen)


@given(masks, st.integers(0, 3))
def test_random_masks_have_as_many_weights_in_the_same_matrices(mask, seed):
    drawn = mask.random_like(seed=seed)
    assert {name: len(flat) for name, flat in drawn.indices.items()} == {name: len(flat) for name, flat in mask.indices.items()}
    assert drawn == mask.random_like(seed=seed) and drawn.shapes == mask.shapes


def test_the_table_and_what_is_printed():
    mask = mask_of([("blocks.10.attn.q", 1), ("blocks.0.mlp.in", 9), ("blocks.0.mlp.in", 0)])
    assert repr(mask) == "WeightMask(3 of 26 weights, in 2 matrices)"
    assert mask.table().to_dict("list") == {
        "matrix": list(SHAPES),
        "layer": [0, 0, 10],
        "kind": ["attn.q", "mlp.in", "attn.q"],
        "weights": [0, 2, 1],
        "size": [12, 10, 4],
        "fraction": [0, 0.2, 0.25],
    }


# what is no mask


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ({"blocks.0.attn.q": [12]}, r"blocks\.0\.attn\.q has 12 weights, counted from 0: there is none of index 12"),
        ({"blocks.0.attn.q": [3, -1]}, "there is none of index -1"),
        ({"blocks.0.attn.q": [0.5]}, r"named by whole numbers \(row · columns \+ column\), not torch\.float32"),
        ({"blocks.0.attn.q": [True, False]}, r"not torch\.bool"),
        ({"blocks.0.attn.k": [0]}, r"weights in 'blocks\.0\.attn\.k', of which no shape is given"),
    ],
)
def test_what_is_no_weight(indices, message):
    with pytest.raises(MaskError, match=message):
        WeightMask(indices=indices, shapes=SHAPES)


def test_masks_of_different_models_do_not_mix():
    other = WeightMask(shapes={"blocks.0.attn.q": (4, 3)})
    for combine in (WeightMask.__or__, WeightMask.__and__, WeightMask.__sub__):
        with pytest.raises(MaskError, match=r"blocks\.0\.attn\.q has the shape \(3, 4\) in one and \(4, 3\) in the other"):
            combine(mask_of([("blocks.0.attn.q", 1)]), other)
    with pytest.raises(MaskError, match="not with a Circuit"):
        mask_of([]) | Circuit(heads=[(0, 0)])
    assert mask_of([]) != Circuit()


def test_a_mask_of_another_model_is_refused(tiny):
    shapes = {matrix.name: matrix.shape for matrix in matrices(tiny)}
    WeightMask(shapes=shapes).check(tiny)
    with pytest.raises(MaskError, match=r"blocks\.2\.attn\.q is \(32, 32\) in the mask and missing in this model"):
        WeightMask(shapes=shapes | {"blocks.2.attn.q": (32, 32)}).check(tiny)
    with pytest.raises(MaskError, match=r"blocks\.1\.mlp\.out is \(64, 32\) in the mask and \(32, 64\) in this model"):
        WeightMask(shapes=shapes | {"blocks.1.mlp.out": (64, 32)}).check(tiny)


# files


@given(mask=masks)
def test_files(tmp_path_factory, mask):
    path = tmp_path_factory.mktemp("masks") / "mask.safetensors"
    mask.save(path)
    read = WeightMask.load(path)
    assert read == mask and dict(read.shapes) == SHAPES and list(read.shapes) == list(SHAPES)


def test_what_is_no_mask_file(tmp_path):
    with pytest.raises(MaskError, match=r"cannot read .*absent.*Save the weight mask again"):
        WeightMask.load(tmp_path / "absent")
    (tmp_path / "text").write_text("indices")
    with pytest.raises(MaskError, match="cannot read"):
        WeightMask.load(tmp_path / "text")
    save_file({"blocks.0.attn.q": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(MaskError, match="'format' should be 'harmcircuits weight mask 2'"):
        WeightMask.load(tmp_path / "other")
