"""The load: an open-loop plan, the Locust process that walks it, and its proof of fitness."""
