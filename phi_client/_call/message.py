"""What a message of a call may be.

It must not be needed to send one: the model takes longer to load than a first answer takes to come.
"""

from collections.abc import Mapping
from typing import Any

from phi_client.contract.messages import ChatMessage

__all__ = ["Message"]

Message = ChatMessage | Mapping[str, Any]
"""A message: a `ChatMessage`, or a mapping with `role` and `content`."""
