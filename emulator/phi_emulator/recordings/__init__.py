"""Exchanges with a real endpoint, recorded once and answered again. It must not know engines or command lines."""
