"""Faults that are proven, bounded and healed; experiment files name only what is in here."""
