"""What a recorded load amounts to: figures, bands, budgets and comparisons. Pure."""
