"""Circuits of a run on other sets of requests, side by side.

    python benchmarks/replication.py out/dissociate --sets xstest=xstest_prompts.csv advbench=advbench.csv,seed_tasks_flat.json

Each set is one file with harmful and benign requests, or several whose prompts are put together. The run's own test triples
stand first, harmful requests against near twins, under the same prefill as the others.
"""

import argparse
import shlex
import sys
from functools import reduce
from operator import add
from pathlib import Path

import harmcircuits as hc
from harmcircuits.experiments.replication import PREFILL, replicate

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("run", type=Path, nargs="?", help="folder of a run of `harmcircuits dissociate`")
parser.add_argument("--model", default="smollm2-135m-instruct")
parser.add_argument("--sets", nargs="*", default=[], help="name=file[,file …]")
parser.add_argument("--prompts", type=int, default=64, help="harmful and benign requests of each set, at most")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, help="a JSON file")
options = parser.parse_args()

if options.run is None:
    print("no run was named: python benchmarks/replication.py FOLDER (of harmcircuits dissociate) --sets name=file …")
    sys.exit(0)

_, _, test = hc.load_prompts().split(seed=options.seed)
sets = {"built-in twins": test}
for named in options.sets:
    name, _, files = named.partition("=")
    sets[name] = reduce(add, (hc.load_prompts(file) for file in files.split(",")))

model = hc.load_model(options.model)
circuits = hc.Dissociation.load(options.run).circuits
found = replicate(model, circuits, sets, n=options.prompts, seed=options.seed, progress=True)
print(found.table().to_string(index=False))
print(f"all under the prefill {PREFILL!r}; own responses sampled at temperature 1")
if options.out:
    found.save(options.out, command=shlex.join(["python", *sys.argv]), model=options.model, prefill=PREFILL)
