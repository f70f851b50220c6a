"""How much each component promotes what the model writes: one algorithm a file, the same signature and return type."""
