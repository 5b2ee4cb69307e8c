"""Addresses of Services of type LoadBalancer: given from a pool, announced by the nodes' BIRD.

The lab's stand-in for what a cloud or MetalLB does. One controller in the cluster writes addresses
into the Services' status; on each node an announcer tells the routers which of them it serves.
Standard library only; never imported by the tool.
"""
