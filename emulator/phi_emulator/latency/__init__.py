"""How long answers take: profiles of first token, rate and jitter, the language in which they are written, presets."""
