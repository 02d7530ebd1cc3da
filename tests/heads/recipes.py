"""What every head's settings need beside its own."""

RECIPE = {"epochs": 1, "batch": 2, "lr": 0.1}
