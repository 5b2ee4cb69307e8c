"""The load: an open-loop plan, the processes that send it, what they record, who else saw it."""
