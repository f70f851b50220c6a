"""Questions about a model, from a circuit to an answer with intervals."""
