"""Queued inference in the shape of OpenAI's Batch API: an API, a queue and workers.

Programs of the standard library, as a stock Python image runs them; the queue is a Redis.
"""
