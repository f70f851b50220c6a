"""Run the whole experiment: is harmful generation lost, and recognition kept, when one circuit is ablated?

Runs as a script (`python examples/03_dissociation.py`, some minutes on two cores) and cell by cell in an editor.
"""

# %% A planted model first: some of its heads and neurons write harmful words, others recognise harm. The answer is known.
from dataclasses import replace

import harmcircuits as hc

small = hc.Settings(
    components=("heads",), head_fractions=(0.1,), facts=0, passages=0, sampled=False, shots=0, random_draws=1,
    train_prompts=12, development_prompts=6, test_prompts=12, written_prompts=2, max_new_tokens=6, written_tokens=4,
)  # fmt: skip
planted = hc.organisms.planted(seed=0)
train, development, test = planted.prompts.split(seed=0)
result = hc.dissociate(planted.model, None, test, train=train, development=development, settings=small)
print("planted: dissociated; answer:", result.answer)
print(*result.sentences, sep="\n")

# %% In "entangled" the same components write harmful and benign words. They are given here, not selected.
entangled = hc.organisms.planted(seed=0, variant="entangled")
train, development, test = entangled.prompts.split(seed=0)
shared = {"shared": entangled.shared}
other = hc.dissociate(entangled.model, shared, test, train=train, development=development, settings=small)
print("planted: not selective; answer:", other.answer)

# %% A real model. Prompts are split, circuits selected and their sizes chosen inside. Few prompts: intervals are wide. Take
# `Settings.quick()` for a look and `Settings()` for a run that can decide; `folder=` lets a stopped run continue.
model = hc.load_model()
few = replace(
    hc.Settings.quick(), components=("neurons",), neuron_fractions=(0.004, 0.01), train_prompts=8, development_prompts=4,
    test_prompts=8, written_prompts=4, max_new_tokens=12, written_tokens=12, facts=4, passages=2,
)  # fmt: skip
test = hc.load_prompts()
result = hc.dissociate(model, None, test, settings=few, folder="out/example-03", progress=True)
print(result.answer, *result.sentences, sep="\n")

# %% Effect sizes first: one row a condition, 95 % intervals. `effects` has every effect with its n, or the reason why not.
print(result.table().T.to_string())

# %% The answer of each circuit and contrast, with the checks that led to it.
for row in result.report["answers"]:
    print(f"{row['circuit']}, {row['contrast']} benign: {row['answer']}", *row["reasons"], sep="\n  ")

# %% Numbers, circuits and a page that fetches nothing; none of it holds what the model wrote.
result.save("out/example-03")
print(*hc.Dissociation.load("out/example-03").circuits, sep=", ")

# %% In a notebook, the last line of a cell shows the figure: loss increase against the change of recognition.
result.figure() if result.figures() else None
