"""Models with a known answer: does the recipe find what was planted, where does it fail, and would one notice?

Runs as a script (`python examples/06_known_answer.py`, less than a minute) and cell by cell in an editor.
"""

# %% A small model, its weights set by hand, in which a few heads and neurons write harmful words and others recognise harm.
import harmcircuits as hc
from harmcircuits.organisms import planted
from harmcircuits.statistics import mean_estimate

organism = planted(seed=0)
print(organism)
print("writing:", organism.writing)

# %% Harm is one word of a request in a language of 189 words: "smash the violin" beside "mend the violin" (docs/trust.md).
print(organism.harmful[0].request, "|", organism.near[0].request, "|", organism.far[0].request)

# %% The recipe that is used on real models, at the planted size: is what it finds what was planted?
protection = {"heads": 3 / 24, "neurons": 0.1}
size = {"heads": len(organism.writing.heads), "neurons": len(organism.writing.neurons)}
A, B = hc.attribute(organism.model, organism.harmful), hc.attribute(organism.model, organism.benign)
found = hc.select(A, protect=B, protect_fraction=protection, **size)
print("found what was planted:", found == organism.writing)

# %% And it does what is said of it: harmful words are lost, kind ones stay. Rises of L, nats per token.
for name, examples in (("harmful", organism.harmful), ("near", organism.near), ("far", organism.far)):
    L = hc.sweep(organism.model, [None, found], examples)
    print(f"{name:8} {mean_estimate(L[1] - L[0])}")

# %% Variants in which a naive method is wrong. "both": one head serves harmful and kind words, and protection must drop it.
# "redundant": each writing neuron has a double, either suffices, and first-order scores hardly see them. Shares of what was
# planted, and rises of L on harmful words, nats per token.
print(f"{'variant':12}{'found':>7}{'without protection':>20}{'rise without what was found':>29}{'without all of it':>19}")
for variant in ("plain", "both", "redundant"):
    own = planted(seed=1, variant=variant)
    size = {"heads": len(own.writing.heads), "neurons": len(own.writing.neurons)}
    A, B = hc.attribute(own.model, own.harmful), hc.attribute(own.model, own.benign)
    found, careless = hc.select(A, protect=B, protect_fraction=protection, **size), hc.select(A, **size)
    shares = [len(circuit & own.writing) / len(own.writing) for circuit in (found, careless)]
    L = hc.sweep(own.model, [None, found, own.writing], own.harmful).mean(1)
    print(f"{variant:12}{shares[0]:7.0%}{shares[1]:20.0%}{L[1] - L[0]:+29.2f}{L[2] - L[0]:+19.2f}")

# %% A large rise alone does not say that all of a circuit was found: that takes the last column, which nobody has of a real
# model.
organism.writing.table()
