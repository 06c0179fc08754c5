"""What happened in a running emulator, for agents: a server of the Model Context Protocol that only reads.

It must not change anything in an emulator, nor tell a key.
"""
