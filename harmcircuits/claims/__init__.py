"""The paper's claims, a file each: conditions, readings, estimates and the rule that answers."""
