"""Scripted engines that read prompts for each other, and the router in front of them."""
