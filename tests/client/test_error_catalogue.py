"""Every error of the catalogue, as its golden bytes have it, raises the class of its status and says what it says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from phi_client import APIStatusError, ContentFilterError, ModelError
from phi_client._call.errors import class_for_status
from phi_client.contract.dialects import DIALECTS
from phi_client.contract.service import SURFACES

if TYPE_CHECKING:
    from tests.conftest import Driver

WIRE = Path(__file__).parents[1] / "contract" / "wire"
FILES = sorted(WIRE.glob("*/error_*.wire"))
NOT_READY = 503  # what the reason alone stands for
ENDPOINTS = {
    "serverless": "https://phi.eastus2.models.ai.azure.com",
    "managed_compute": "https://phi.eastus2.inference.ml.azure.com",
    "foundry_models": "https://phi.services.ai.azure.com/models",
    "openai_v1": "https://phi.openai.azure.com/openai/v1",
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_error_of_the_catalogue_is_raised_as_what_it_is(phi: Driver, path: Path) -> None:
    head, _, body = path.read_bytes().partition(b"\n\n")
    names = dict(line.split(": ", 1) for line in head.decode().splitlines())
    status = int(names.pop("status"))
    headers = {name: value for name, value in names.items() if name not in ("origin", "source")}
    dialect = DIALECTS[path.parent.name]
    phi.answer(httpx.Response(status, headers=headers, content=body))
    phi.open(ENDPOINTS[dialect.name], model="m" if dialect.needs_model else None, max_retries=0)
    with pytest.raises(APIStatusError) as caught:
        phi.complete()
    error = caught.value
    assert type(error) is class_for_status(status, error.body)
    assert error.status_code == status
    assert isinstance(error, ContentFilterError) is (
        path.stem == "error_content_filter" and SURFACES[dialect.name].annotates
    )
    if isinstance(error, ModelError):
        assert error.inner_status == int(headers.get("ms-azureml-model-error-statuscode", NOT_READY))
    if "Retry-After" in headers:
        assert error.retry_after == float(headers["Retry-After"])
    text = str(error)
    assert str(status) in text
    assert len(text.splitlines()) == 1
    assert "Please check this guide" not in text
