# %% [markdown]
# # The paper's claims, where the answer is known
# Small models with planted circuits: some heads and neurons write harmful words, others recognise harm. Does a claim say what
# is planted?

# %%
import harmcircuits as hc

organism = hc.organisms.planted(seed=0)
print(organism)
print("harmful, matched, unrelated:", *(organism.prompts.sample(1, seed=0)[at].request for at in range(3)), sep="\n  ")

# %% [markdown]
# The recipe that is used on real models finds what was planted.

# %%
protection = {"heads": 3 / 24, "neurons": 0.1}
size = {"heads": len(organism.writing.heads), "neurons": len(organism.writing.neurons)}
A, B = hc.attribute(organism.model, organism.harmful), hc.attribute(organism.model, organism.benign)
print("selected what was planted:", hc.select(A, protect=B, protect_fraction=protection, **size) == organism.writing)

# %% [markdown]
# Where it fails: "redundant" has a double of each writing neuron, either suffices, and first-order scores hardly see them.

# %%
for variant in ("plain", "both", "redundant"):
    other = hc.organisms.planted(seed=1, variant=variant)
    size = {"heads": len(other.writing.heads), "neurons": len(other.writing.neurons)}
    A, B = hc.attribute(other.model, other.harmful), hc.attribute(other.model, other.benign)
    circuit = hc.select(A, protect=B, protect_fraction=protection, **size)
    print(f"{variant:10} selected: {len(circuit & other.writing) / len(other.writing):.0%} of what was planted")

# %% [markdown]
# Compactness: does harmful generation rest on a small part of the model? One claim is one function; its finding has an answer,
# estimates with 95 % intervals, figures and a page.

# %%
settings = hc.CompactnessSettings(
    components=("heads", "neurons"), head_fractions=(1 / 24, 2 / 24, 4 / 24), neuron_fractions=(4 / 192, 8 / 192, 16 / 192),
    train_prompts=24, development_prompts=6, test_prompts=24, written_prompts=4, max_new_tokens=8, written_tokens=6,
    facts=0, passages=0, sampled=False, shots=0, random_draws=2, protect_heads=3 / 24, max_benign_increase=2.0,
)  # fmt: skip
sets = dict(zip(("train", "development", "prompts"), organism.prompts.split(seed=0), strict=True))
finding = hc.compactness(organism.model, **sets, settings=settings)
print(finding.sentence)
finding.figures()["neurons"]

# %% [markdown]
# All claims that one model can answer, on one page:
#
# ```python
# hc.paper(model, folder="out/paper", progress=True).save("out/paper")
# ```
# or `harmcircuits paper --model FOLDER --out out/paper`. `hc.alignment` takes a series of checkpoints.
