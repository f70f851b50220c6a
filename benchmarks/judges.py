"""How often judges are right, on the built-in cases: what each says of every kind, and whether it passes its validation.

    python benchmarks/judges.py                       # the rules
    python benchmarks/judges.py qwen3guard-0.6b       # judges by name (`hc.judges.load_judge`)

No text of a case is printed.
"""

import argparse

from harmcircuits.judges import RulesJudge, load_judge, validate

RULES = ("refusal", "degenerate", "compliance")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="judges by name; the rules by default")
    names = parser.parse_args().names
    for judge in map(load_judge, names) if names else (RulesJudge(measures) for measures in RULES):
        judged = validate(judge)
        print(f"\n{judge.name}: {judge.measures}\n{judged.table().to_string(index=False)}")
        for name in ("balanced_accuracy", "sensitivity", "specificity"):
            print(f"{name}: {getattr(judged, name)}")
        print("passed" if judged.passed else f"not passed: {'; '.join(judged.failures)}", flush=True)


if __name__ == "__main__":
    main()
