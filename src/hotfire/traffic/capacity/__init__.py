"""How much a target can take, and how exact the instrument is that says so."""
