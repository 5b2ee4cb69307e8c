"""What differs between inference engines: one frozen table each, in a file named like its kind.

The names are those of the engines' own sources and documentation; an empty one says that the engine
tells no such thing, which is never taken for zero.
"""
