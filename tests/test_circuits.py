"""Circuits and weight masks: sets, files, and hooks that zero exactly what they name."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harmcircuits.circuits import Circuit, WeightMask
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models.matrices import matrices
from harmcircuits.models.protocol import head_hook, neuron_hook

TOKENS = torch.arange(5, 45).reshape(2, 20)
pairs = st.sets(st.tuples(st.integers(0, 3), st.integers(0, 4)))
circuits = st.builds(lambda heads, neurons: Circuit(heads=list(heads), neurons=list(neurons)), pairs, pairs)


SHAPES = {"blocks.0.attn.q": (3, 4), "blocks.0.mlp.in": (5, 2), "blocks.10.attn.q": (2, 2)}
weights = st.sets(st.sampled_from([(name, flat) for name, (rows, columns) in SHAPES.items() for flat in range(rows * columns)]))


def mask_of(chosen) -> WeightMask:
    chosen = list(chosen)
    return WeightMask(indices={name: [flat for at, flat in chosen if at == name] for name in SHAPES}, shapes=SHAPES)


masks = st.builds(mask_of, weights)


def parts(one: Circuit | WeightMask) -> set:
    if isinstance(one, Circuit):
        return set(one.components)
    return {(name, int(flat)) for name, indices in one.indices.items() for flat in indices}


# algebra


@given(st.tuples(circuits, circuits) | st.tuples(masks, masks))
def test_circuits_and_masks_are_sets(both):
    one, two = both
    assert parts(one | two) == parts(one) | parts(two)
    assert parts(one & two) == parts(one) & parts(two)
    assert parts(one - two) == parts(one) - parts(two)
    assert len(one) == len(parts(one)) and (one == two) == (parts(one) == parts(two))
    either = parts(one) | parts(two)
    assert one.jaccard(two) == (len(parts(one) & parts(two)) / len(either) if either else 1)
    assert one.jaccard(two) == two.jaccard(one) and one.jaccard(one) == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4))))
def test_order_and_repetition_mean_nothing(items):
    circuit = Circuit(heads=items, neurons=items[::-1] + items)
    assert circuit == Circuit(heads=set(items), neurons=items)
    assert hash(circuit) == hash(Circuit(heads=items[::-1], neurons=items))
    assert circuit.heads == circuit.neurons == tuple(sorted(set(items)))


def test_numbers_of_any_library_become_plain_ints():
    circuit = Circuit(heads=np.array([[1, 2], [0, 3]]), neurons=torch.tensor([[2, 7]]))
    assert circuit == Circuit(heads=[(0, 3), (1, 2)], neurons=[(2, 7)])
    assert {type(number) for pair in (*circuit.heads, *circuit.neurons) for number in pair} == {int}


@given(circuits)
def test_names_are_components(circuit):
    assert Circuit(circuit.components) == Circuit(neurons=circuit.components[::-1]) == circuit
    assert "layers)" in repr(circuit) or eval(repr(circuit)) == circuit
    assert Circuit("L2H1").heads == ((2, 1),) == Circuit([(2, 1)]).heads and Circuit(
        heads=["L2H1"], neurons=["L5N100"]
    ).neurons == ((5, 100),)


def test_a_circuit_shows_heads_by_score_and_neurons_by_layer(tmp_path):
    scores = {"L0H1": 0.1, "L3H2": 0.3, "L2N5": 0.25, "L2N7": 0.5, "L9H9": 1.0}
    circuit = Circuit(["L0H1", "L3H2", "L2N5", "L2N7", "L1N0"], scores=scores)
    table = circuit.table()
    assert list(table["components"]) == ["L3H2", "L0H1", "L1N0", "L2N7, L2N5"]
    assert list(table["score"].fillna(-1)) == [0.3, 0.1, -1, 0.75] and list(table["n"]) == [1, 1, 1, 2]
    circuit.save(tmp_path / "circuit.json")
    again = Circuit.load(tmp_path / "circuit.json")
    assert again == circuit and again.scores == circuit.scores == {
        name: scores[name] for name in circuit.components if name != "L1N0"
    }
    assert (circuit & Circuit("L3H2")).scores == {"L3H2": 0.3} == (circuit - Circuit(["L0H1", "L2N5", "L2N7"])).scores
    assert list(Circuit(["L1H0", "L0H3"]).table()["components"]) == ["L0H3", "L1H0"] and Circuit().table().empty


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["L2X1"], r"not \['L2X1'\]; or names, as L2H1 and L5N100"),
        ([3], r"heads must be pairs \(layer, index\) of whole numbers from 0, not \[3\]"),
        ([(1, 1.5)], r"not \[\(1, 1\.5\)\]"),
        ([(0, 1), (2, -1)], r"whole numbers from 0, not \[\(0, 1\), \(2, -1\)\]"),
    ],
)
def test_what_is_no_component(items, message):
    with pytest.raises(HarmcircuitsError, match=message):
        Circuit(heads=items)
    with pytest.raises(HarmcircuitsError, match=message.replace("heads", "neurons")):
        Circuit(neurons=items)


# files


@given(circuits)
def test_a_saved_circuit_comes_back(tmp_path_factory, circuit):
    path = tmp_path_factory.mktemp("circuit") / "circuit.json"
    circuit.save(path)
    assert Circuit.load(path) == circuit
    assert [file.name for file in path.parent.iterdir()] == ["circuit.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": [[1]]}, r"circuit\.json is no circuit file \(heads must be pairs"),
        ({"heads": [[0, "1"]]}, "whole numbers"),
        ({"heads": [[True, 0]]}, "whole numbers"),
        ({"neurons": None}, "neurons"),
    ],
)
def test_an_edited_circuit_file(tmp_path, change, message):
    path = tmp_path / "circuit.json"
    Circuit(heads=[(0, 1)]).save(path)
    value = json.loads(path.read_text()) | change
    path.write_text(json.dumps({key: part for key, part in value.items() if part is not None}))
    with pytest.raises(HarmcircuitsError, match=message):
        Circuit.load(path)


def test_a_circuit_file_that_is_missing_or_cut_short(tmp_path):
    with pytest.raises(HarmcircuitsError, match=r"none\.json: there is no such file"):
        Circuit.load(tmp_path / "none.json")
    (tmp_path / "cut.json").write_text('{"format": "harm')
    with pytest.raises(HarmcircuitsError, match=r"cut\.json: not JSON"):
        Circuit.load(tmp_path / "cut.json")


# against a model


@pytest.mark.parametrize(
    ("circuit", "named"),
    [
        (Circuit(heads=[(0, 4)]), r"head \(0, 4\)"),
        (Circuit(heads=[(0, 3)], neurons=[(2, 63)]), r"neuron \(2, 63\)"),
    ],
)
def test_a_component_that_the_model_does_not_have(tiny, circuit, named):
    limits = "is not in this model, which has 2 layers of 4 heads and 64 neurons, counted from 0"
    for use in (circuit.hooks, circuit.check, lambda model: circuit.random_like(model, seed=0)):
        with pytest.raises(HarmcircuitsError, match=f"{named} {limits}"):
            use(tiny)


def test_random_circuits_have_as_many_components_in_each_layer(tiny):
    circuit = Circuit(heads=[(0, 1), (1, 0), (1, 2), (1, 3)], neurons=[(1, neuron) for neuron in range(20)])
    drawn = [circuit.random_like(tiny, seed=seed) for seed in range(6)]
    for other in drawn:
        other.check(tiny)
        for kind in ("heads", "neurons"):
            layers, own = ([layer for layer, _ in getattr(of, kind)] for of in (other, circuit))
            assert layers == own
    assert len({*drawn}) == 6 and drawn[3] == circuit.random_like(tiny, seed=3)
    assert Circuit().random_like(tiny, seed=0) == Circuit()


def activations(model, name: str, hooks=()) -> torch.Tensor:
    """What a hook that is added after `hooks` reads."""
    kept = []

    def keep(activation, hook):
        kept.append(activation.clone())
        return activation

    with torch.no_grad(), model.hooks(fwd_hooks=list(hooks)), model.hooks(fwd_hooks=[(name, keep)]):
        model(TOKENS)
    return kept[0]


@pytest.mark.parametrize("kind", ["heads", "neurons"])
def test_hooks_zero_exactly_what_they_name(tiny, kind):
    indices = [0, 2] if kind == "heads" else [0, 17, 63]
    for layer in (0, 1):
        name = head_hook(layer) if kind == "heads" else neuron_hook(layer)
        intact = activations(tiny, name)
        cut = activations(tiny, name, Circuit(**{kind: [(layer, index) for index in indices]}).hooks(tiny))
        dim = 2  # [batch, pos, head, d_head] and [batch, pos, d_mlp]
        others = [index for index in range(intact.shape[dim]) if index not in indices]
        assert intact.shape == ((2, 20, 4, 8) if kind == "heads" else (2, 20, 64))
        assert intact.index_select(dim, torch.tensor(indices)).abs().amin(dim=(0, 1)).max() > 0
        assert not cut.index_select(dim, torch.tensor(indices)).any()
        assert torch.equal(cut.index_select(dim, torch.tensor(others)), intact.index_select(dim, torch.tensor(others)))


# masks


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
    assert mask.fraction == 3 / 26 and mask.table().to_dict("list") == {
        "matrix": list(SHAPES),
        "layer": [0, 0, 10],
        "kind": ["attn.q", "mlp.in", "attn.q"],
        "weights": [0, 2, 1],
        "size": [12, 10, 4],
        "fraction": [0, 0.2, 0.25],
    }


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ({"blocks.0.attn.q": [12]}, r"blocks\.0\.attn\.q: weights are named by .*from 0 to 11, not torch\.int64 from 12 to 12"),
        ({"blocks.0.attn.q": [3, -1]}, "from -1 to 3"),
        ({"blocks.0.attn.q": [0.5]}, "not torch.float32"),
        ({"blocks.0.attn.q": [True, False]}, r"not torch\.bool"),
        ({"blocks.0.attn.k": [0]}, r"weights in 'blocks\.0\.attn\.k', of which no shape is given"),
    ],
)
def test_what_is_no_weight(indices, message):
    with pytest.raises(HarmcircuitsError, match=message):
        WeightMask(indices=indices, shapes=SHAPES)


def test_masks_of_different_models_do_not_mix():
    other = WeightMask(shapes={"blocks.0.attn.q": (4, 3)})
    for combine in (WeightMask.__or__, WeightMask.__and__, WeightMask.__sub__):
        with pytest.raises(HarmcircuitsError, match=r"blocks\.0\.attn\.q has the shape \(3, 4\) in one, \(4, 3\) in the other"):
            combine(mask_of([("blocks.0.attn.q", 1)]), other)
    with pytest.raises(HarmcircuitsError, match="not with a Circuit"):
        mask_of([]) | Circuit(heads=[(0, 0)])
    assert mask_of([]) != Circuit()


def test_a_mask_of_another_model_is_refused(tiny):
    shapes = {matrix.name: matrix.shape for matrix in matrices(tiny)}
    WeightMask(shapes=shapes).check(tiny)
    with pytest.raises(HarmcircuitsError, match=r"blocks\.2\.attn\.q is \(32, 32\) in the mask and missing in this model"):
        WeightMask(shapes=shapes | {"blocks.2.attn.q": (32, 32)}).check(tiny)
    with pytest.raises(HarmcircuitsError, match=r"blocks\.1\.mlp\.out is \(64, 32\) in the mask and \(32, 64\) in this model"):
        WeightMask(shapes=shapes | {"blocks.1.mlp.out": (64, 32)}).check(tiny)


@given(mask=masks)
def test_files(tmp_path_factory, mask):
    path = tmp_path_factory.mktemp("masks") / "mask.safetensors"
    mask.save(path)
    read = WeightMask.load(path)
    assert read == mask and dict(read.shapes) == SHAPES and list(read.shapes) == list(SHAPES)
