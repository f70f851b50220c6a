"""Size curves on the earlier engine, for the claim on alignment alone."""
