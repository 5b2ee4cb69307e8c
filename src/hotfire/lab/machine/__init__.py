"""The lab's machines: what each one is made of, and how it stands and goes."""
