"""The processes of a load: one alone, or a master and its workers."""
