"""From scores to circuits: one rule a file."""
