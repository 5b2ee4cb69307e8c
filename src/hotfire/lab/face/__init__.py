"""The lab's command lines, and what they print."""
