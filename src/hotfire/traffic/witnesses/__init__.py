"""Other accounts of the same load: the engines', Prometheus', another tool's."""
