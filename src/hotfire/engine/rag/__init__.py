"""The RAG application of the reference stack: four small programs of the standard library."""
