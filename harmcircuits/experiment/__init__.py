"""The experiment: conditions × readings → outcomes → effect sizes → an answer."""
