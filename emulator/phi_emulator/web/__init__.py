"""Speaks HTTP: routes, keys, bodies, streams and error envelopes. It must not know engines."""
