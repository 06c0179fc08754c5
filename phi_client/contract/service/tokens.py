"""A token of Entra ID as a service meets it: how it travels, and what is said when it is not taken.

It must not know how a token is made or verified, nor which surface it is sent to: a surface chooses its rules.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from phi_client.contract.service.refusals import Refusal
from phi_client.contract.tokens import is_token
from phi_client.contract.wire import get_header

__all__ = ["TokenRules", "gateway_token_rules", "read_token"]

_BEARER: Final = "bearer "


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """What a surface says to a token that it does not take, and which tokens it takes.

    `wrong_token` is for a bad signature, a wrong audience and an expired token alike; `wrong_tenant` is given the
    tenant that issued the token; `no_role` is for an identity that may not use the deployment.
    """

    wrong_token: Refusal
    wrong_tenant: Callable[[str], Refusal]
    no_role: Refusal
    # Audiences that are taken beside that of the dialect's `token_scope`.
    other_audiences: tuple[str, ...] = ()
    # Whether these answers carry a request id.
    are_named: bool = False


def read_token(headers: Mapping[str, str]) -> str | None:
    """The token of a request, which travels as `Authorization: Bearer` on every surface."""
    value = get_header(headers, "Authorization") or ""
    if value[: len(_BEARER)].lower() != _BEARER:
        return None
    given = value[len(_BEARER) :].strip()
    return given if is_token(given) else None


def gateway_token_rules(*other_audiences: str) -> TokenRules:
    """The rules of a Foundry or Azure OpenAI resource (the first recorded, the others quoted in issues)."""
    message = (
        "Unauthorized. Access token is missing, invalid, audience is incorrect "
        "(https://cognitiveservices.azure.com), or have expired."
    )
    no_role = {"code": "PermissionDenied", "message": "Principal does not have access to API/Operation."}
    return TokenRules(
        wrong_token=Refusal(401, {"statusCode": 401, "message": message}, by_model=False),
        wrong_tenant=_gateway_wrong_tenant,
        no_role=Refusal(401, {"error": no_role}, by_model=False),
        other_audiences=other_audiences,
        # Recorded: `apim-request-id` on a 401.
        are_named=True,
    )


def _gateway_wrong_tenant(tenant: str) -> Refusal:
    """400, and neither 401 nor 403 (quoted in issues, 2023 to 2026)."""
    error = {
        "code": "Tenant provided in token does not match resource token",
        "message": f"Token tenant {tenant} does not match resource tenant.",
    }
    return Refusal(400, {"error": error}, by_model=False)
