"""Engines that ship with hotfire; each is one self-contained file, delivered by ConfigMap."""
