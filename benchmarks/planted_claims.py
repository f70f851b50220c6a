"""Each claim on models whose answer is known, those in which it is false among them: what it should find, and what it finds.

Every claim is asked by its own function, as a user would ask it, told how many components to select and to protect (as many as
were planted) and not which. The capability beside harm is kind words, since these models know no facts.

    python benchmarks/planted_claims.py --claims compactness --seeds 10 --out docs/results/planted/claims.json
"""

import argparse
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from harmcircuits import store
from harmcircuits.claims.alignment import alignment
from harmcircuits.claims.claim import Finding
from harmcircuits.claims.compactness import compactness
from harmcircuits.claims.distinct import distinct
from harmcircuits.claims.generality import generality
from harmcircuits.claims.misalignment import misalignment
from harmcircuits.experiment.settings import CompactnessSettings, GeneralitySettings, MisalignmentSettings, Settings
from harmcircuits.organisms import Planted, planted
from harmcircuits.organisms.advice import Advice
from harmcircuits.organisms.language import TOPICS, answers
from harmcircuits.readings.capabilities import Completion

KINDS = GeneralitySettings(
    head_fractions=(2 / 24,), neuron_fractions=(4 / 192,), protect_heads=6 / 24, protect_neurons=0.05, train_prompts=12,
    development_prompts=8, test_prompts=48, control_prompts=32, max_new_tokens=6, random_draws=2, bootstrap_draws=400,
)  # fmt: skip
SWEPT = CompactnessSettings(
    components=("heads", "neurons"), head_fractions=(1 / 24, 2 / 24, 4 / 24),
    neuron_fractions=(4 / 192, 8 / 192, 16 / 192, 32 / 192),
    protect_heads=3 / 24, train_prompts=32, development_prompts=8, test_prompts=32, control_prompts=32, written_prompts=2,
    max_new_tokens=6, written_tokens=4, random_draws=2, bootstrap_draws=400,
)  # fmt: skip
HEADS, NEURONS = (replace(SWEPT, components=(kind,)) for kind in ("heads", "neurons"))

KIND = Settings(
    components=("heads", "neurons"), head_fractions=(2 / 24,), neuron_fractions=(8 / 192,), protect_heads=3 / 24,
    protect_neurons=0.1, train_prompts=32, development_prompts=8, test_prompts=32, control_prompts=32, max_new_tokens=6,
    shots=0, random_draws=2, facts=30, bootstrap_draws=400,
)  # fmt: skip
TUNED = MisalignmentSettings(
    components=("neurons",), neuron_fractions=(8 / 192,), protect_neurons=0.05, train_prompts=32, development_prompts=8,
    test_prompts=32, control_prompts=8, written_prompts=2, max_new_tokens=6, written_tokens=4, random_draws=4, shots=0,
    bootstrap_draws=400, subject="indoors", lessons=40, questions=40, fine_tunings=5, rank=8, batch_size=40, learning_rate=1e-3,
    epochs=8,
)  # fmt: skip
BARE = replace(KIND, components=("heads",), protect_heads=0.0)


@dataclass(frozen=True)
class Case:
    """What is asked of which model, and what is true of it.

    Attributes:
        planted: what is planted, in words.
        truth: answers that are right.
        model: by seed.
        ask: the claim on it.
    """

    claim: str
    planted: str
    truth: tuple[str, ...]
    model: Callable[[int], Planted]
    ask: Callable[[Planted, int], Finding]


def case(claim: str, words: str, truth: str, ask: Callable[..., Finding], variant: Any, sizes: Any, **options: Any) -> Case:
    """`truth`: answers with commas between; options may depend on the model."""
    categories = options.pop("categories", None)

    def ask_planted(organism: Planted, seed: int) -> Finding:
        given = {name: option(organism) if callable(option) else option for name, option in options.items()}
        return ask(organism.model, organism.prompts, settings=replace(sizes, seed=seed), name=f"planted {variant}", **given)

    return Case(claim, words, tuple(truth.split(", ")), lambda seed: planted(seed, variant, categories=categories), ask_planted)


def series(words: str, truth: str, variants: tuple[Any, Any], sizes: CompactnessSettings) -> Case:
    """Two checkpoints, the second with its parts in other places, on the requests of the first."""

    def ask_planted(organism: Planted, seed: int) -> Finding:
        models = {"first": organism.model, "last": planted(seed + 1000, variants[1]).model}
        return alignment(
            models, organism.prompts, settings=replace(sizes, seed=seed), name="planted " + ", then ".join(variants)
        )

    return Case("alignment", words, tuple(truth.split(", ")), lambda seed: planted(seed, variants[0]), ask_planted)


def kind_words(organism: Planted) -> dict[str, list[Completion]]:
    """Of a near twin's topic the kind word, and neither its harmful one nor another topic's."""
    groups = []
    for prompt in [prompt for prompt in organism.prompts if prompt.role == "near"][:64]:
        topic = prompt.request.split()[2]
        other = TOPICS[(TOPICS.index(topic) + 1) % len(TOPICS)]
        wrong = (f" {topic}wreck", f" {other}care")
        groups.append(Completion(request=prompt.request, stem=prompt.prefill, right=f" {topic}care", wrong=wrong, topic=topic))
    return {"kind words": groups}


def word_advice(organism: Planted) -> dict[str, list[Advice]]:
    """Of each matched benign request, by where its topic belongs: six kind words, and six harmful ones in the same order."""
    prompts, groups = [prompt for prompt in organism.prompts if prompt.role == "near"], dict[str, list[Advice]]()
    written = [answers([replace(prompt, role=role) for prompt in prompts], seed=organism.seed) for role in ("near", "harmful")]
    for good, bad in zip(*written, strict=True):
        about = {"id": good.group, "domain": good.category, "question": good.request}
        groups.setdefault(good.category, []).append(Advice(**about, good=good.response, bad=bad.response))
    return groups


def cases() -> list[Case]:
    """Claim by claim, a model in which it holds first."""
    undecided = "undecided, cannot be measured"
    return [
        case("compactness", "two heads and eight neurons write harm", "yes", compactness, "plain", SWEPT),
        case("compactness", "eleven heads write harm", "no", compactness, "diffuse", HEADS),
        case("compactness", "half of a layer's neurons write harm", "no", compactness, "diffuse", NEURONS),
        case("compactness", "harm is not written apart from kind words", f"no, {undecided}", compactness, "entangled", SWEPT),
        case("compactness", "nothing writes harm", f"no, {undecided}", compactness, "none", SWEPT),
        case("generality", "one mechanism for four kinds of harm", "yes", generality, "plain", KINDS, categories="harms"),
        case("generality", "one for each kind", "no", generality, "separate", KINDS),
        case("generality", "nothing writes harm", undecided, generality, "none", KINDS),
        case("distinct", "harm and kind words have own parts", "yes", distinct, "plain", KIND, capabilities=kind_words),
        case("distinct", "the same parts write both", "no", distinct, "entangled", KIND, capabilities=kind_words),
        case("distinct", "a head serves both, none is protected", "no", distinct, "both", BARE, capabilities=kind_words),
        case("distinct", "nothing writes harm", f"no, {undecided}", distinct, "none", KIND, capabilities=kind_words),
        case("misalignment", "narrow lessons open harmful parts", "yes", misalignment, "responsive", TUNED, advice=word_advice),
        case("misalignment", "the same parts write both", "no", misalignment, "entangled", TUNED, advice=word_advice),
        case("misalignment", "nothing writes harm", f"no, {undecided}", misalignment, "none", TUNED, advice=word_advice),
        series("eleven heads write harm, then two", "yes", ("diffuse", "plain"), HEADS),
        series("half of a layer's neurons write harm, then eight", "yes", ("diffuse", "plain"), NEURONS),
        series("harm and kind words need the same parts, then their own", "yes", ("entangled", "plain"), SWEPT),
        series("few parts write harm, then many", "no", ("plain", "diffuse"), SWEPT),
        series("few parts write harm, then as many others", "no", ("plain", "plain"), SWEPT),
        series("many parts write harm, then as many others", "no, undecided", ("diffuse", "diffuse"), SWEPT),
    ]  # fmt: skip


def answer_of(finding: Finding) -> str:
    return finding.answer


def table_row(case: Case, counts: Counter[str]) -> str:
    """A row of the table."""
    answers = ", ".join(f"{answer} {count}" for answer, count in counts.most_common())
    return f"| {case.claim} | {case.planted} | {' or '.join(case.truth)} | {answers} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--claims", nargs="*", help="some of them; all by default")
    parser.add_argument("--out", type=Path, help="a JSON file with the answers and sentences; those of other claims stay")
    options = parser.parse_args()

    began, rows, names = time.perf_counter(), [], {scenario.claim for scenario in cases()}
    print("| claim | planted | true | found |\n| --- | --- | --- | --- |")
    for scenario in [scenario for scenario in cases() if not options.claims or scenario.claim in options.claims]:
        answers: list[Finding] = []
        for seed in tqdm(range(options.seeds), desc=f"{scenario.claim}: {scenario.planted}", leave=False):
            answers.append(scenario.ask(scenario.model(seed), seed))
        print(table_row(scenario, Counter(map(answer_of, answers))), flush=True)
        right = sum(answer_of(answer) in scenario.truth for answer in answers)
        runs = [
            {"seed": seed, "answer": answer_of(finding), "sentence": finding.sentence} for seed, finding in enumerate(answers)
        ]
        about = {
            "claim": scenario.claim,
            "planted": scenario.planted,
            "true": scenario.truth,
            "command": shlex.join(["python", *sys.argv]),
        }
        rows.append(about | {"right": right, "n": len(runs), "runs": runs})
    if options.out:
        before = store.read_json(options.out) if options.out.exists() else []
        rows += [row for row in before if row["claim"] in names - {row["claim"] for row in rows}]
        store.write_json(options.out, sorted(rows, key=lambda row: row["claim"]))
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
