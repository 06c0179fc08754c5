"""What this machine can do: its devices, memory and speed, looked at and foretold."""
