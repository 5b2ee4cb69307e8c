"""What runs on the nodes: typed operations, each undone by the node itself when its lease ends.

Delivered by ConfigMap to a stock Python image, so everything here keeps to the standard library
and imports nothing else of hotfire.
"""
