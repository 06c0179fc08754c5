"""The command `phi-emulator`: options in, a configuration out, and what is said to the user."""
