"""Breaking parts of the standing lab by name, and mending them: by hand, in time, by themselves.

What can be broken on a machine is an operation of the node agent, which runs there while something
is broken. Power lies outside every machine: a warden on the host switches on again.
"""
