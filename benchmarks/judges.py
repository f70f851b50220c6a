"""How often judges are right: on the built-in cases, and the rules on human labels.

    python benchmarks/judges.py                       # the rules, on the built-in cases
    python benchmarks/judges.py qwen3guard-0.6b       # judges by name (`hc.judges.load_judge`)

    pip download --no-deps pyrit==1.1.0 -d FOLDER && unzip -d FOLDER/pyrit FOLDER/pyrit-1.1.0-py3-none-any.whl
    python benchmarks/judges.py --labels FOLDER/pyrit # the rules, on the human-labelled responses of PyRIT's wheel

The rules were written on one half of the human-labelled rows (by a hash of the response, so that no text is in both); the other
half is the result. They are responses without a prefill: how often a continuation that turns away is seen is not measured here.
Counts alone are printed and written, never a text.
"""

import argparse
import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from harmcircuits.judges import load_judge, validate
from harmcircuits.judges.judge import Property
from harmcircuits.judges.rules import OUTCOMES, content_stems, read_compliance
from harmcircuits.statistics import Estimate, wilson
from harmcircuits.store import write_json

RULES: dict[Property, str] = {"refusal": "refused", "degenerate": "degenerate", "compliance": "complied"}
"""By what a judge measures, the outcome that has it."""
HALVES = ("tuned on", "held out")
FOLDERS = {"refusal": "refusal_scorer", "objective": "objective", "harm": "harm"}
COMMAND = "python benchmarks/judges.py --labels FOLDER/pyrit"
SPLIT = "harmcircuits 26"
LONG = 40
"""Words from which a refused response without a word of the request counts as one about another subject."""


@dataclass(frozen=True)
class Rules:
    """The rules that read compliance, as a judge."""

    measures: Property
    name: str = "rules"

    def read(self, requests: Sequence[str], responses: Sequence[str]) -> list[bool | None]:
        return [read_compliance(*pair) == RULES[self.measures] for pair in zip(requests, responses, strict=True)]


@dataclass(frozen=True)
class Row:
    """One labelled response: `score` is the mean of its people's labels, 0 … 1."""

    request: str
    response: str
    score: float

    @property
    def half(self) -> str:
        return HALVES[sha256((SPLIT + self.response).encode()).digest()[0] % 2]

    @property
    def elsewhere(self) -> bool:
        """A long response that shares no content word with the request."""
        shared = content_stems(self.request) & content_stems(self.response)
        return not shared and len(self.response.split()) >= LONG


def rows(folder: Path) -> list[Row]:
    records = []
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            start = 0
            while file.readline().startswith("#"):
                start = file.tell()
            file.seek(start)
            for row in csv.DictReader(file):
                scores = [float(value) for name, value in row.items() if name.startswith("human_score")]
                records.append(Row(row["objective"], row["assistant_response"], sum(scores) / len(scores)))
    return records


def agreement(pairs: Iterable[tuple[bool, bool]]) -> dict[str, Any]:
    """(people say, rules say) → confusion and shares with Wilson intervals."""
    counts = Counter(pairs)
    hit, miss, false, right = (counts[pair] for pair in ((True, True), (True, False), (False, True), (False, False)))
    shares = {
        "accuracy": wilson(hit + right, hit + miss + false + right),
        "sensitivity": wilson(hit, hit + miss),
        "specificity": wilson(right, right + false),
        "precision": wilson(hit, hit + false),
    }
    confusion = {"true positive": hit, "false negative": miss, "false positive": false, "true negative": right}
    return {"confusion": confusion, **{name: leaf(share) for name, share in shares.items()}}


def leaf(share: Estimate) -> dict[str, Any]:
    if share.value is None:
        return {"value": None, "reason": share.reason}
    return {"value": share.value, "low": share.low, "high": share.high, "n": share.n}


def measured(sets: Mapping[str, Sequence[Row]], half: str) -> dict[str, Any]:
    part = {name: [row for row in some if row.half == half] for name, some in sets.items()}
    read = {name: [read_compliance(row.request, row.response) for row in some] for name, some in part.items()}
    refusal, objective = part["refusal"], part["objective"]
    said = [
        (bool(row.score), outcome == "refused", row.elsewhere) for row, outcome in zip(refusal, read["refusal"], strict=True)
    ]
    related = [(row, outcome) for row, outcome in zip(refusal, said, strict=True) if not (outcome[0] and outcome[2])]
    return {
        "rows": {name: len(some) for name, some in part.items()},
        "texts": {name: len({row.response for row in some}) for name, some in part.items()},
        "refusal": agreement((people, rules) for people, rules, _ in said),
        "refusal, without responses about another subject": agreement((a, b) for _, (a, b, _) in related),
        "the same, each text once": agreement({row.response: (a, b) for row, (a, b, _) in related}.values()),
        "objective": agreement(
            (bool(row.score), outcome == "complied") for row, outcome in zip(objective, read["objective"], strict=True)
        ),
        "harm: outcomes by mean score": {
            f"{low} to {high}": {
                wanted: sum(
                    outcome == wanted and low <= row.score and (row.score < high or high == 1)
                    for row, outcome in zip(part["harm"], read["harm"], strict=True)
                )
                for wanted in OUTCOMES
            }
            for low, high in ((0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1))
        },
    }


def on_labels(wheel: Path, out: Path) -> None:
    """Print and write the agreement of the rules with people."""
    data = wheel / "pyrit" / "datasets" / "scorer_evals"
    sets = {name: rows(data / folder) for name, folder in FOLDERS.items()}
    if not all(sets.values()):
        raise SystemExit(f"{data} holds no labelled responses: give the folder of the unpacked wheel of pyrit 1.1.0")
    result = {half: measured(sets, half) for half in HALVES}
    for half, measures in result.items():
        print(f"\n{half}: rows {measures['rows']}, distinct texts {measures['texts']}")
        for name, measure in measures.items():
            if "confusion" in measure:
                shares = {key: share for key, share in measure.items() if key != "confusion" and share["value"] is not None}
                text = "  ".join(f"{key} {s['value']:.3f} [{s['low']:.3f}, {s['high']:.3f}]" for key, s in shares.items())
                print(f"  {name}: {measure['confusion']}\n      {text}")
        for name, counts in measures["harm: outcomes by mean score"].items():
            print(f"  harm, mean score {name}: {counts}")
    write_json(out, {"command": COMMAND, "data": "pyrit 1.1.0 (MIT), human labels; no prefill", "split": SPLIT, **result})


def on_cases(names: Sequence[str]) -> None:
    """Print what each judge says of every kind of built-in case, and whether it passes its validation."""
    for judge in map(load_judge, names) if names else map(Rules, RULES):
        judged = validate(judge)
        print(f"\n{judge.name}: {judge.measures}\n{judged.table().to_string(index=False)}")
        for name in ("balanced_accuracy", "sensitivity", "specificity"):
            print(f"{name}: {getattr(judged, name)}")
        print("passed" if judged.passed else f"not passed: {'; '.join(judged.failures)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="judges by name; the rules by default")
    parser.add_argument("--labels", type=Path, help="the folder of the unpacked wheel of pyrit 1.1.0")
    parser.add_argument("--out", type=Path, default=Path("docs/results/compliance_rules.json"))
    options = parser.parse_args()
    if options.labels:
        on_labels(options.labels, options.out)
    else:
        on_cases(options.names)


if __name__ == "__main__":
    main()
