"""Runs the model: sequences, scheduling, text.

Knows nothing of the contract: a model doesn't know that it is on Azure.
"""
