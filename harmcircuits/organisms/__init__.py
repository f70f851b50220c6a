"""Models whose answer is known."""
