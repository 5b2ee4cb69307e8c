"""Looking for faults that a target does not withstand: drawn by chance, shrunk, written down."""
