"""Answers in a form: grammars that an answer keeps, and calls of tools in it. Knows text alone."""
