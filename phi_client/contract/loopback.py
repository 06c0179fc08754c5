"""Which hosts never leave this machine: the client speaks plain HTTP there, and the emulator may have its public key.

It must not resolve a name.
"""

import ipaddress

__all__ = ["is_loopback"]


def is_loopback(host: str) -> bool:
    """True for loopback addresses, and for the names that stand for them (RFC 6761, section 6.3), in any case."""
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
