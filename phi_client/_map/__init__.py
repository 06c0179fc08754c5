"""Many calls: what goes next, how fast, and what is kept."""
