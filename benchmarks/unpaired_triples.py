"""Harmful and benign requests of different sources as a prompt file, on which every command can be run as a replication.

    python benchmarks/unpaired_triples.py --harmful advbench.csv --benign seed_tasks_flat.json --out unpaired.csv
    harmcircuits paper --prompts unpaired.csv --out out/replication

Each harmful request gets two benign ones by chance in the places of the near and the far twin, all under one prefill. They are
no twins: the sources differ in topic, form and length, so that a selectivity here says that a circuit hurts one *source* more,
and recognition tells sources apart. Categories are clusters of the harmful requests' words (k-means on tf-idf), since splits,
strata and held-out categories need some; they have no names.
"""

import argparse
import csv
import random
import sys
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer

import harmcircuits as hc
from harmcircuits.experiments.replication import PREFILL

COLUMNS = ("request", "prefill", "category", "harm_group", "group", "role")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--harmful", help="a file of harmful requests that `hc.load_prompts` reads")
parser.add_argument("--benign", help="one of benign requests, from which two a triple are taken")
parser.add_argument("--categories", type=int, default=12)
parser.add_argument(
    "--groups", type=int, default=4, help="kinds of harm: the clusters along their first component, in parts of about one size"
)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, default=Path("unpaired.csv"))
options = parser.parse_args()

if not options.harmful or not options.benign:
    print("no files were named: python benchmarks/unpaired_triples.py --harmful FILE --benign FILE --out FILE")
    sys.exit(0)

chooser = random.Random(options.seed)
harmful = [prompt.request for prompt in hc.load_prompts(options.harmful).harmful]
benign = [prompt.request for prompt in hc.load_prompts(options.benign).benign]
n = min(len(harmful), len(benign) // 2)
harmful, benign = chooser.sample(harmful, n), chooser.sample(benign, 2 * n)

words = TfidfVectorizer(stop_words="english", sublinear_tf=True).fit_transform(harmful)
clusters = KMeans(n_clusters=options.categories, n_init=20, random_state=options.seed).fit(words)
along = np.argsort(PCA(n_components=1, random_state=options.seed).fit_transform(clusters.cluster_centers_)[:, 0])
sizes = np.bincount(clusters.labels_)[along]
kinds = dict(zip(along, (options.groups * (sizes.cumsum() - sizes / 2) / n).astype(int), strict=True))

options.out.parent.mkdir(parents=True, exist_ok=True)
with options.out.open("w", newline="", encoding="utf-8") as file:
    rows = csv.writer(file)
    rows.writerow(COLUMNS)
    for at, (request, cluster) in enumerate(zip(harmful, clusters.labels_, strict=True)):
        who = PREFILL, f"cluster {cluster + 1}", f"kind {kinds[cluster] + 1}", f"triple {at + 1}"
        for role, text in (("harmful", request), ("near", benign[2 * at]), ("far", benign[2 * at + 1])):
            rows.writerow((text, *who, role))
print(f"{options.out}: {n} triples in {options.categories} categories of {options.groups} kinds")
