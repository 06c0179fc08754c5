"""The base of the wire's models.

It must not be needed to send a request or to read an answer: pydantic takes longer to load than both.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["WireModel"]


class WireModel(BaseModel):
    """Base of everything that is a model: frozen, and tolerant of keys that it does not know.

    Unknown keys stay reachable as attributes and in `model_extra`, because Azure adds keys without notice.
    What is written is exactly what was set: `None` that was set is written as `null`, a default is not.
    """

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    def to_wire(self) -> dict[str, Any]:
        """The JSON object, with the keys that were set and no others."""
        # What a caller passed unchecked may differ from the declared type; the service judges it.
        return self.model_dump(mode="json", exclude_unset=True, warnings=False)
