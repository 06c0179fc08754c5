"""Serves one engine to many: the thread that owns it, who runs and who waits, and the text on its way out."""
