"""What is looked at to know that a fault is there, or over: each file is one word."""
