"""What a good client does with a fault: the sentences that the docs print and that clients are judged by.

It must not know how a fault is made, nor how a client is watched.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["Duty"]


class Duty(Enum):
    """A client is right when it does this."""

    SAME_ANSWER = "gives the same answer as without the fault"
    NO_EMPTY_ANSWER = (
        "gives the answer as without the fault, or raises an error of its own; never an empty answer"
    )
    IS_PATIENT = "waits as long as its limits allow, and raises an error of its own when one is reached"
    SEES_SILENCE = "raises an error of its own when the limit is reached, not when the server closes"
    BACKS_OFF = "tries again, after waits that differ and are not all about zero"
    WAITS_AS_ASKED = "tries again after the wait that the service asks for"
    WAITS_NO_AGE = "raises an error of its own at once, with the wait in it: nobody waits so long"
    RAISES_STATUS = (
        "raises an error of its own with the status and the service's words, and doesn't try again"
    )
    RENEWS_ITS_CREDENTIAL = (
        "gets a new token past its cache, tries again with it once, and raises when that fails too"
    )
    NAMES_FILTER = "raises a class that other 400s do not have, with the verdict by category"
    SURVIVES_CONNECTION = "tries again or raises an error of its own; the next call has another connection"
    KEEPS_TEXT = "raises an error of its own that carries the text that came"
    RAISES = "raises an error of its own"
    NAMES_CUT = "names the reason on its whole result; a budget that ends inside the reasoning is an error"
