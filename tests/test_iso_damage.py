"""Frontiers and equal damage: intact is no rise, off is `ablated`, the target is met, and known models give known answers."""

import html
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from triples import make_triples

from harmcircuits.ablation.changes import AblationError
from harmcircuits.ablation.hooks import ablated
from harmcircuits.ablation.partial import Partial, under
from harmcircuits.components import Circuit, outgoing
from harmcircuits.examples import Example, loss
from harmcircuits.experiments.frontier import Frontier, FrontierError, alpha_at, frontier
from harmcircuits.experiments.iso_damage import IsoDamage, solve, target, without_damage
from harmcircuits.experiments.scores import triple_prompts
from harmcircuits.models.protocol import model_hash
from harmcircuits.organisms import planted
from harmcircuits.store import StoreError

FAR = 2
ALPHAS = (0.5, 0.0)
HEADS = Circuit(heads=[(0, 1), (1, 2)])
BOTH = Circuit(heads=[(1, 0)], neurons=[(0, 3), (0, 9), (1, 7)])


def answered(n: int = 4) -> list[Example]:
    """Triples with answers of unequal lengths."""
    return [
        Example(**vars(prompt), response=" ".join(prompt.request.split()[1 : 3 + at % 3]) + ".")
        for at, prompt in enumerate(triple_prompts(make_triples(n)))
    ]


def made(far: list[float], *, alphas: tuple[float, ...] | None = None, triples: int = 1) -> Frontier:
    """One condition, "cut", with these mean rises on far twins."""
    rises = np.zeros((len(far), triples, 3))
    rises[..., FAR] = np.array(far)[:, None]
    return Frontier(alphas or tuple(np.linspace(1, 0, len(far)).tolist()), {"cut": rises})


def strong(model: Any, examples: list[Example], candidates: int = 12) -> list[Circuit]:
    """Circuits that hurt far twins, the strongest first."""
    drawn = [BOTH.random_like(model, seed=seed) for seed in range(candidates)] + [HEADS]
    found = frontier(model, {str(at): circuit for at, circuit in enumerate(drawn)}, examples, alphas=[0.0])
    order = sorted(range(len(drawn)), key=lambda at: -float(found.damage(str(at))[-1]))
    return [drawn[at] for at in order if found.damage(str(at))[-1] > 0.05]


class TestFrontier:
    def test_intact_is_no_rise_and_off_is_ablated(self, tiny: Any) -> None:
        examples = answered()
        found = frontier(tiny, {"heads": HEADS, "both": BOTH}, examples, alphas=(0.0, 0.5))
        assert found.alphas == (1.0, 0.5, 0.0) and found.kinds == {"heads": "circuit", "both": "circuit"}
        intact = loss(tiny, examples, batch_size=12)
        for name, circuit in (("heads", HEADS), ("both", BOTH)):
            assert found.rises[name].shape == (3, 4, 3) and not found.rises[name][0].any()
            with under(tiny, Partial(circuit, 1.0)):
                assert torch.equal(loss(tiny, examples, batch_size=12), intact), "alpha 1 leaves every bit"
            with ablated(tiny, circuit):
                off = (loss(tiny, examples, batch_size=12) - intact).reshape(-1, 3).numpy()
            assert np.allclose(found.rises[name][-1], off, atol=1e-6) and np.abs(off).max() > 1e-2

    def test_batches_do_not_matter(self, tiny: Any) -> None:
        one, many = (frontier(tiny, {"both": BOTH}, answered(), alphas=ALPHAS, batch_size=size) for size in (1, 12))
        assert np.allclose(one.rises["both"], many.rises["both"], atol=1e-5)

    def test_a_circuit_and_its_outgoing_weights_have_one_frontier(self, tiny: Any) -> None:
        conditions = {"circuit": BOTH, "weights": outgoing(tiny, BOTH)}
        found = frontier(tiny, conditions, answered(), alphas=(0.7, 0.2, 0.0))
        assert np.allclose(found.rises["circuit"], found.rises["weights"], atol=1e-5)
        assert np.abs(found.rises["circuit"][1:]).max() > 1e-2

    def test_the_model_is_left_as_it_was(self, tiny: Any) -> None:
        before = model_hash(tiny)
        conditions = {"circuit": BOTH, "weights": outgoing(tiny, HEADS)}
        solve(tiny, conditions, answered(), damage=0.01, alphas=ALPHAS)
        assert model_hash(tiny) == before

    def test_tables_and_frames_hold_the_means(self, tiny: Any) -> None:
        found = frontier(tiny, {"both": BOTH}, answered(), alphas=ALPHAS, kinds={"both": "random"})
        frame, table = found.frame(draws=100), found.table(draws=100)
        harmful, near, far = (found.rises["both"][..., role].mean(-1) for role in range(3))
        assert np.allclose(frame["harmful"], harmful) and np.allclose(frame["far"], far)
        assert np.allclose(frame["selectivity"], harmful - near) and set(frame["kind"]) == {"random"}
        assert list(frame["alpha"]) == [1.0, 0.5, 0.0] and set(frame["n"]) == {4}
        assert (frame["far_low"] <= frame["far"]).all() and (frame["far"] <= frame["far_high"]).all()
        assert table["far"][2].startswith(f"{far[2]:.3f} [") and table["selectivity"][0] == "0.000 [0.000, 0.000] (n=4)"
        assert {trace.name for trace in found.figure().data if trace.showlegend} == {"1: both"}

    def test_save_and_load(self, tmp_path: Path) -> None:
        rises = np.arange(12.0).reshape(2, 2, 3)
        one = Frontier((1.0, 0.0), {"b <1>": rises, "a": -rises}, {"a": "random"})
        one.save(tmp_path / "frontier.safetensors")
        again = Frontier.load(tmp_path / "frontier.safetensors")
        assert list(again.rises) == ["b <1>", "a"] and again.alphas == one.alphas and again.kinds == one.kinds
        assert all(np.array_equal(again.rises[name], one.rises[name]) for name in one.rises)
        (tmp_path / "cut").write_bytes((tmp_path / "frontier.safetensors").read_bytes()[:100])
        with pytest.raises(StoreError, match="cannot read"):
            Frontier.load(tmp_path / "cut")

    def test_what_is_no_frontier(self, tiny: Any) -> None:
        examples = answered(1)
        for conditions, of, options, message in (
            ({}, examples, {}, "needs conditions"),
            ({"a": HEADS}, examples, {"alphas": [1.0]}, "one below 1"),
            ({"a": HEADS}, examples, {"alphas": [1.5]}, r"alphas in \[0, 1\]"),
            ({"a": HEADS}, examples[:2], {}, "whole triples"),
            ({"a": HEADS}, examples[::-1], {}, "each harmful, near, far"),
            ({"a": HEADS}, examples, {"kinds": {"b": "random"}}, "no condition 'b'; there are 'a'"),
        ):
            with pytest.raises(FrontierError, match=message):
                frontier(tiny, conditions, of, **options)
        with pytest.raises(AblationError, match="not a str"):
            frontier(tiny, {"a": "circuit.json"}, examples)  # type: ignore[dict-item]
        with pytest.raises(FrontierError, match="alphas fall from 1"):
            Frontier((0.0, 1.0), {})
        with pytest.raises(FrontierError, match=r"rises are \[2 alphas, triple, 3 roles\]"):
            Frontier((1.0, 0.0), {"a": np.zeros((2, 3))})


class TestAlphaAt:
    def test_linear_damage_is_inverted_exactly(self) -> None:
        line = made([0.0, 0.1, 0.2, 0.3, 0.4])
        for damage in (0.05, 0.1, 0.17, 0.4):
            assert alpha_at(line, "cut", damage) == pytest.approx(1 - damage / 0.4)

    def test_of_several_crossings_the_weakest_counts(self) -> None:
        hill = made([0.0, -0.1, 0.3, 0.1, 0.5])
        assert alpha_at(hill, "cut", 0.2) == pytest.approx(0.75 - 0.25 * 0.75)
        assert alpha_at(hill, "cut", 0.4) == pytest.approx(0.25 - 0.25 * 0.75)

    def test_what_has_no_alpha(self) -> None:
        with pytest.raises(FrontierError, match=r"\+0.3000 nats per token at most, not 0.5000: take a smaller damage"):
            alpha_at(made([0.0, 0.3, 0.2]), "cut", 0.5)
        for damage in (0.0, -1.0, float("nan")):
            with pytest.raises(FrontierError, match="is a positive rise"):
                alpha_at(made([0.0, 0.3]), "cut", damage)
        with pytest.raises(FrontierError, match="no condition 'other'; there are 'cut'"):
            alpha_at(made([0.0, 0.3]), "other", 0.1)


def test_the_target_is_what_all_reach_but_those_without_damage() -> None:
    parts = {
        name: made(far).rises["cut"] for name, far in (("a", [0, 0.4, 0.3]), ("b", [0, 0.1, 0.6]), ("c", [0, -0.1, 0.001]))
    }
    found = Frontier((1.0, 0.5, 0.0), parts)
    assert target(found) == pytest.approx(0.4) and target(found, ["b"]) == pytest.approx(0.6)
    assert list(without_damage(found)) == ["c"] and "+0.0010" in without_damage(found)["c"]
    with pytest.raises(FrontierError, match=r"no damage to be equal at \(c: it does no damage.*Take larger circuits"):
        target(found, ["c"])


class TestEqualDamage:
    def test_every_condition_meets_the_target(self, tiny: Any) -> None:
        examples = answered()
        first, second, *_ = strong(tiny, examples)
        conditions = {"one": first, "two": second, "weights": outgoing(tiny, first), "one again": first}
        found = solve(tiny, conditions, examples, tolerance=0.02)
        assert not found.reasons and found.damage == pytest.approx(target(found.frontier))
        for name, partial in zip(conditions, found.conditions().values(), strict=True):
            far = found.rises[name][:, FAR].mean()
            assert abs(far - found.damage) <= max(0.02 * found.damage, 0.002)
            with under(tiny, partial):  # another way to the same rises
                changed = loss(tiny, examples)
            assert np.allclose((changed - loss(tiny, examples)).reshape(-1, 3), found.rises[name], atol=1e-5)
        assert list(found.conditions()) == [f"{name} at equal damage" for name in conditions]
        assert found.alphas["one"] < 1 and min(found.alphas.values()) == 0.0, "one condition sets the target"
        assert found.alphas["one again"] == found.alphas["one"]
        assert np.array_equal(found.rises["one again"], found.rises["one"])
        assert found.alphas["weights"] == pytest.approx(found.alphas["one"], abs=1e-3)
        difference, p = found.advantage("one again", draws=100)
        assert (difference.value, difference.low, difference.high, p.value) == (0.0, 0.0, 0.0, 1.0)

    def test_a_tighter_tolerance_is_met_too_by_measuring_again(self, tiny: Any) -> None:
        examples = answered()
        circuit = strong(tiny, examples)[0]
        measured = frontier(tiny, {"cut": circuit}, examples, alphas=[0.0])
        wanted = 0.3 * float(measured.damage("cut")[-1])
        rough, fine = (
            solve(tiny, {"cut": circuit}, examples, damage=wanted, measured=measured, steps=steps, tolerance=1e-4)
            for steps in (1, 12)
        )
        assert fine.rises["cut"][:, FAR].mean() == pytest.approx(wanted, rel=1e-3)
        assert rough.reasons or abs(rough.alphas["cut"] - fine.alphas["cut"]) > 1e-4, "one step is the straight line's guess"

    def test_what_cannot_meet_it_is_left_out_with_the_reason(self, tiny: Any) -> None:
        examples = answered()
        first, *_, last = strong(tiny, examples)
        measured = frontier(tiny, {"one": first, "weak": last, "nothing": Circuit()}, examples)
        wanted = (measured.damage("weak").max() + measured.damage("one").max()) / 2
        found = solve(tiny, {"one": first, "weak": last, "nothing": Circuit()}, examples, damage=wanted, measured=measured)
        assert list(found.alphas) == ["one"] and "nats per token at most, not" in found.reasons["weak"]
        assert found.reasons["nothing"].startswith("it does no damage")
        assert found.estimates("weak")["selectivity"].reason == found.reasons["weak"]
        assert found.advantage("weak")[1].reason == f"weak is left out: {found.reasons['weak']}"
        table = found.table(draws=100)
        assert list(table["alpha"][1:]) == ["—", "—"] and list(table["note"]) == ["", *found.reasons.values()]
        assert found.figure().layout.meta["alt"]

    def test_the_table_reads_the_rises(self) -> None:
        found = drawn_up()
        table = found.table(draws=100)
        assert list(table["condition"]) == ["one", "two", "three"] and list(table["alpha"]) == ["0.500", "0.250", "—"]
        assert table["selectivity"][0].startswith("0.300 [") and table["first − this"][1].startswith("0.200 [")
        difference, p = found.advantage("two", draws=100)
        assert difference.value == pytest.approx(0.2) and p.value == pytest.approx(2 / 2**8)
        assert list(found.frame(draws=100)["alpha"]) == [1.0, 0.0] * 3 + [0.5, 0.25]
        kept = found.to_json(draws=100)["conditions"]
        assert (kept["two"]["first_minus_this"], kept["two"]["p"]) == (difference.to_json(), p.to_json())
        assert "first_minus_this" not in kept["one"] and kept["one"]["selectivity"]["value"] == pytest.approx(0.3)
        assert kept["three"]["alpha"] is None and kept["three"]["far"] == {"value": None, "reason": found.reasons["three"]}

    def test_save_and_load(self, tmp_path: Path) -> None:
        one, path = drawn_up(), tmp_path / "equal.safetensors"
        one.save(path)
        again = IsoDamage.load(path, {**dict(reversed(one.ablations.items())), "more": HEADS})
        assert (again.damage, again.alphas, again.reasons) == (one.damage, one.alphas, one.reasons)
        assert again.table(draws=100).equals(one.table(draws=100)) and again.conditions() == one.conditions()
        with pytest.raises(StoreError, match="holds the condition 'two', and no ablation of that name"):
            IsoDamage.load(path, {"one": HEADS})
        with pytest.raises(StoreError, match="holds no frontier"):
            Frontier.load(path)

    def test_a_frontier_of_something_else_is_refused(self, tiny: Any) -> None:
        examples = answered()
        measured = frontier(tiny, {"both": BOTH}, examples, alphas=[0.0])
        with pytest.raises(FrontierError, match="no condition 'heads'"):
            solve(tiny, {"heads": HEADS}, examples, measured=measured, damage=0.1)
        with pytest.raises(FrontierError, match="other triples than these 2"):
            solve(tiny, {"both": BOTH}, examples[:6], measured=measured, damage=0.1)
        with pytest.raises(FrontierError, match="is a positive rise"):
            solve(tiny, {"both": BOTH}, examples, measured=measured, damage=-0.1)


def drawn_up() -> IsoDamage:
    """Two conditions of selectivity 0.3 and 0.1 on eight triples, and one that is left out."""
    noise = 0.01 * np.arange(8)[:, None] * np.array([1, 1, 0])
    rises = {"one": noise + np.array([0.4, 0.1, 0.05]), "two": noise + np.array([0.2, 0.1, 0.05])}
    along = {name: np.stack([np.zeros((8, 3)), 2 * rises[name]]) for name in rises} | {"three": np.zeros((2, 8, 3))}
    ablations = {"one": HEADS, "two": BOTH, "three": Circuit()}
    return IsoDamage(0.05, {"one": 0.5, "two": 0.25}, rises, ablations, {"three": "idle"}, Frontier((1.0, 0.0), along))


def test_both_show_themselves_in_a_notebook() -> None:
    at_equal_damage = drawn_up()
    for result, rows in ((at_equal_damage, 3), (at_equal_damage.frontier, 6)):
        shown = result._repr_html_()
        assert shown.count("<tr") == 1 + rows and shown.count("<iframe") == 1
        assert html.escape(repr(result)) in shown


@cache
def organism() -> tuple[Any, list[Example]]:
    """A model of which is known what writes harm, and its triples."""
    found = planted(0)
    parts = zip(found.harmful[:12], found.near[:12], found.far[:12], strict=True)
    return found, [example for triple in parts for example in triple]


class TestPlanted:
    def test_what_writes_harm_alone_costs_harmless_text_nothing(self) -> None:
        found, examples = organism()
        with pytest.raises(FrontierError, match="no damage to be equal at"):
            solve(found.model, {"writing": found.writing}, examples, alphas=ALPHAS)
        rises = frontier(found.model, {"writing": found.writing}, examples, alphas=ALPHAS).rises["writing"]
        assert rises[-1, :, 0].mean() > 1 and abs(rises[-1, :, FAR].mean()) < 0.002

    def test_at_equal_damage_what_also_writes_harm_is_more_selective(self) -> None:
        found, examples = organism()
        conditions = {"writing and shared": found.writing | found.shared, "shared": found.shared, "writing": found.writing}
        equal = solve(found.model, conditions, examples)
        assert list(equal.reasons) == ["writing"]
        difference, p = equal.advantage("shared")
        assert difference.excludes(0) and (difference.value or 0) > 0.1
        assert p.value is not None and p.value < 0.01
