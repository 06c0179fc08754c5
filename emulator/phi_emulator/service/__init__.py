"""Behaves like Azure: checks requests, asks the engine, shapes answers. It must not know HTTP."""
