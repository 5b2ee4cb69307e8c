"""What one answer of a target says: its bytes, events, tokens and form. Pure."""
