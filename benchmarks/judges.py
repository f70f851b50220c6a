"""How often the judges are right, on the built-in cases: confusion matrices, and whether each passes its validation.

    python benchmarks/judges.py --judges rules
    python benchmarks/judges.py --judges rubric grades --model FOLDER --of-each 40

Judges that are language models are SmolLM2-135M-Instruct unless `--model` names a folder or a hub id: it was never made for
this, and is measured to show what validation says of a weak judge. No text of a case is printed.
"""

import argparse
from collections.abc import Iterator, Sequence

import harmcircuits as hc
from harmcircuits.judges import (
    Case,
    GradeJudge,
    Judge,
    JudgeModel,
    RubricJudge,
    RulesJudge,
    YesNoJudge,
    load_cases,
    validate,
)
from harmcircuits.judges.cases import KINDS
from harmcircuits.models.export import plain_model

LANGUAGE = {"rubric": RubricJudge, "grades": GradeJudge, "yes-no": YesNoJudge}


def some_of_each(cases: Sequence[Case], count: int) -> list[Case]:
    """At most `count` of each kind, spread evenly over those there are."""
    kept = []
    for kind in KINDS:
        own = [case for case in cases if case.kind == kind]
        kept += own if len(own) <= count else [own[at * len(own) // count] for at in range(count)]
    return kept


def judges(names: Sequence[str], cases: Sequence[Case], model: str | None) -> Iterator[Judge]:
    if "rules" in names:
        yield from (RulesJudge(measures) for measures in ("refusal", "degenerate", "compliance"))
    if set(names) & set(LANGUAGE):
        default = None if model else hc.load_model()
        own = None if model else (plain_model(default), default.tokenizer)
        reader = JudgeModel(model or "smollm2-135m-instruct", loaded=own)
        yield from (LANGUAGE[name](model=reader) for name in names if name in LANGUAGE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--judges", nargs="+", choices=["rules", *LANGUAGE], default=["rules"])
    parser.add_argument("--of-each", type=int, default=40, help="cases of each kind, at most (models: about a second a case)")
    parser.add_argument("--model", help="the judge's folder or hub id")
    options = parser.parse_args()
    cases = some_of_each(load_cases(), options.of_each)
    for judge in judges(options.judges, cases, options.model):
        validation = validate(judge, cases)
        print(f"\n{judge.name}: {validation.measures}, threshold {validation.threshold:g}, {len(cases)} cases")
        print(validation.confusion.to_string())
        for name in ("auroc", "balanced_accuracy", "sensitivity", "specificity"):
            print(f"{name}: {getattr(validation, name)}")
        print("passed" if validation.passed else f"not passed: {'; '.join(validation.failures)}", flush=True)


if __name__ == "__main__":
    main()
