"""Language models with hook points: loading them, and what other folders ask of them."""
