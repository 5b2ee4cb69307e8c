"""What a lab looks like and what is remembered of it: data, before any machine stands."""
