"""Language models with hook points: loading them, and what the other rooms ask of them."""
