"""Faults: what can go wrong with an answer, when it does, and what is done to the answer then. It must not know web."""
