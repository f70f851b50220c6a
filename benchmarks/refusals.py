"""How often models refuse the built-in harmful requests and their near twins, when nothing is put in their mouth.

    python benchmarks/refusals.py --out docs/results/smollm2-135m-instruct/refusals.json

    python benchmarks/refusals.py --test --triples 40 --model out/ladder/dpo

All triples of the set, or those of its test split (what `harmcircuits ladder` has not learnt from), sampled at temperature 1;
refusals by the rules (`judges.rules`), with Wilson intervals.
"""

import argparse
import shlex
import sys
from pathlib import Path

import torch

import harmcircuits as hc
from harmcircuits.experiments.checks import ready_splits
from harmcircuits.statistics import wilson
from harmcircuits.store import write_json
from harmcircuits.tasks.refusal import refusals

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", default="smollm2-135m-instruct")
parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
parser.add_argument("--triples", type=int, default=240, help="at most so many, each category in proportion")
parser.add_argument("--test", action="store_true", help="of the test split of --seed alone")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, help="a JSON file")
options = parser.parse_args()

whole = hc.load_prompts()
prompts = ready_splits(whole, seed=options.seed)[2] if options.test else whole
chosen = prompts.sample(min(options.triples, len(prompts.triples)), seed=options.seed)
asked = [prompt for prompt in chosen if prompt.role != "far"]
model = hc.load_model(options.model, dtype=getattr(torch, options.dtype))
read = refusals(model, asked, seed=options.seed).assign(role=[prompt.role for prompt in asked])
rows = []
for role, own in read.groupby("role", sort=False):
    for measure in ("refused", "degenerate"):
        found = wilson(int(own[measure].sum()), len(own))
        print(f"{role:8} {measure:11} {found}")
        rows.append({"role": role, "measure": measure, **found.to_json()})
if options.out:
    command = shlex.join(["python", *sys.argv])
    write_json(
        options.out,
        {
            "command": command,
            "model": options.model,
            "dtype": options.dtype,
            "n": len(chosen),
            "split": "test" if options.test else "all",
            "seed": options.seed,
            "rows": rows,
        },
    )
