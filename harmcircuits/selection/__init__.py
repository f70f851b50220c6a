"""From scores to circuits and masks, and the controls that match them."""
