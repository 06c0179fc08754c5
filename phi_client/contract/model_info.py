"""The info route: which model answers.

It must not know the path of the route: that is a dialect's.
"""

from phi_client.contract.wire_model import WireModel

__all__ = ["ModelInfo"]


class ModelInfo(WireModel):
    """The three documented keys and the two more that serverless was recorded with."""

    model_name: str | None = None
    model_type: str | None = None
    model_provider_name: str | None = None
    served_model_name: str | None = None
    served_model_type: str | None = None
