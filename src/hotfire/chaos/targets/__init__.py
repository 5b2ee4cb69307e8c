"""Who is hit: each file is one word, which finds its targets and shows that others suffice."""
