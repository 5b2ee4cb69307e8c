"""Names the plugins; everything else lives in them."""

pytest_plugins = [
    "hotfire.pytest_plugin",
    "fixtures.target",
    "fixtures.stack",
    "fixtures.traffic",
    "fixtures.scratch",
    "fixtures.accelerators",
    "fixtures.own_backends",
    "fixtures.fabric",
    "fixtures.datagrams",
]
