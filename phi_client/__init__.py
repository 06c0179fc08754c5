"""Typed client for Phi-4-mini-reasoning on Azure, sync and async."""
