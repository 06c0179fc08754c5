"""One call, without I/O: what is sent, what came back, when to try again."""
