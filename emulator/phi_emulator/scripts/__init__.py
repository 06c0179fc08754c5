"""Scripted answers: rules from requests to replies, canned traces, the file they are in, and what they have met."""
