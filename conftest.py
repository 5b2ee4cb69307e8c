"""Names the plugins; everything else lives in them."""

pytest_plugins = [
    "hotfire.pytest_plugin",
    "fixtures.target",
    "fixtures.stack",
    "fixtures.traffic",
    "fixtures.scratch",
    "fixtures.accelerators",
    "fixtures.own_backends",
    "fixtures.engine_metrics",
    "fixtures.known_streams",
    "fixtures.route_weights",
    "fixtures.within_engines",
    "fixtures.liveness",
    "fixtures.data_plane",
    "fixtures.access",
    "fixtures.model_filler",
    "fixtures.gpu_exporters",
    "fixtures.gpu_readings",
    "fixtures.fabric",
    "fixtures.datagrams",
    "fixtures.recorded",
]
