"""Report formats: each file renders a run directory, and nothing else, into one document."""
