"""What both ends of the wire must agree on: types, events, errors and the dialects of Azure's surfaces.

It must not do I/O, import an HTTP library, or know whether a client or a server uses it. What a service alone needs,
to read requests and to write answers and refusals, is in `service`, which no client meets.
"""
