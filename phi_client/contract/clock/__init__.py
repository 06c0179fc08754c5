"""Time as a parameter of both ends of the wire: `Clock`, and `VirtualClock`, on which hours pass at once.

It must not know what is waited for. It is no fact of the wire; it is here because client and emulator go by one clock
in a test, and this is the only room that both may import.
"""
