"""What is done to a target: each file is one word, with its undo."""
