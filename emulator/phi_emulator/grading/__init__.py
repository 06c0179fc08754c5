"""Judges the client of any program: runs it against faults, watches the wire, and says what it does wrong."""
