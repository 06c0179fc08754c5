"""Models on this machine: where they come from, what they are called, and that they are whole."""
