"""What a load leaves: its rows, how fit its instrument was, and how it looks meanwhile."""
