"""Whatever URL is pasted resolves to the same endpoint, or to what is wrong with it."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phi_client.contract.dialects import EndpointError, resolve_endpoint

SERVERLESS = "https://phi.eastus2.models.ai.azure.com"
EARLY = "https://phi.eastus2.inference.ai.azure.com"
MANAGED = "https://phi.westus.inference.ml.azure.com"
LOCAL = "http://127.0.0.1:16180"

FOUNDRY = "https://phi.services.ai.azure.com"
OPENAI = "https://phi.openai.azure.com"

CHAT, V1, SCORE = "/chat/completions", "/v1/chat/completions", "/score"
MODELS, OPENAI_V1 = "/models/chat/completions", "/openai/v1/chat/completions"
PROJECT = "/api/projects/my-project"


@pytest.mark.parametrize(
    ("pasted", "dialect", "base_url", "route"),
    [
        (SERVERLESS, "serverless", SERVERLESS, CHAT),
        (f"  {SERVERLESS}/ ", "serverless", SERVERLESS, CHAT),
        (f"{SERVERLESS}/chat/completions", "serverless", SERVERLESS, CHAT),
        (f"{SERVERLESS}/chat/completions/?api-version=2024-05-01-preview", "serverless", SERVERLESS, CHAT),
        (f"{SERVERLESS}/v1", "serverless", SERVERLESS, V1),
        (f"{SERVERLESS}/v1/chat/completions", "serverless", SERVERLESS, V1),
        (f"{SERVERLESS}/info", "serverless", SERVERLESS, CHAT),
        (EARLY, "serverless", EARLY, CHAT),
        (MANAGED, "managed_compute", MANAGED, CHAT),
        (f"{MANAGED}/score", "managed_compute", MANAGED, SCORE),
        (f"{MANAGED}/v1/", "managed_compute", MANAGED, V1),
        (f"{MANAGED}/swagger.json", "managed_compute", MANAGED, CHAT),
        ("emulator", "serverless", LOCAL, CHAT),
        (" Emulator ", "serverless", LOCAL, CHAT),
        (LOCAL, "serverless", LOCAL, CHAT),
        ("http://localhost:5000/v1", "serverless", "http://localhost:5000", V1),
        ("http://[::1]:5000", "serverless", "http://[::1]:5000", CHAT),
        (f"{LOCAL}/serverless/chat/completions", "serverless", f"{LOCAL}/serverless", CHAT),
        (f"{LOCAL}/managed-compute", "managed_compute", f"{LOCAL}/managed-compute", CHAT),
        (f"{LOCAL}/managed-compute/score", "managed_compute", f"{LOCAL}/managed-compute", SCORE),
        (f"{LOCAL}/score", "managed_compute", LOCAL, SCORE),
        (f"{FOUNDRY}/models", "foundry_models", FOUNDRY, MODELS),
        (f"{FOUNDRY}/models/", "foundry_models", FOUNDRY, MODELS),
        (
            f"{FOUNDRY}/models/chat/completions?api-version=2024-05-01-preview",
            "foundry_models",
            FOUNDRY,
            MODELS,
        ),
        (f"{FOUNDRY}/models/info", "foundry_models", FOUNDRY, MODELS),
        (FOUNDRY, "openai_v1", FOUNDRY, OPENAI_V1),
        (f"{FOUNDRY}/openai/v1/", "openai_v1", FOUNDRY, OPENAI_V1),
        (f"{FOUNDRY}/openai/v1/chat/completions", "openai_v1", FOUNDRY, OPENAI_V1),
        (f"{FOUNDRY}{PROJECT}", "openai_v1", FOUNDRY + PROJECT, OPENAI_V1),
        (f"{FOUNDRY}{PROJECT}/openai/v1", "openai_v1", FOUNDRY + PROJECT, OPENAI_V1),
        (f"{FOUNDRY}{PROJECT}/openai/v1/chat/completions", "openai_v1", FOUNDRY + PROJECT, OPENAI_V1),
        (OPENAI, "openai_v1", OPENAI, OPENAI_V1),
        (f"{OPENAI}/openai", "openai_v1", OPENAI, OPENAI_V1),
        (f"{OPENAI}/openai/v1/models", "openai_v1", OPENAI, OPENAI_V1),
        (
            "https://r.cognitiveservices.azure.com/",
            "openai_v1",
            "https://r.cognitiveservices.azure.com",
            OPENAI_V1,
        ),
        (f"{LOCAL}/models", "foundry_models", LOCAL, MODELS),
        (f"{LOCAL}/openai/v1", "openai_v1", LOCAL, OPENAI_V1),
        (f"{LOCAL}{PROJECT}/openai/v1", "openai_v1", LOCAL + PROJECT, OPENAI_V1),
    ],
)
def test_a_pasted_url_resolves(pasted: str, dialect: str, base_url: str, route: str) -> None:
    endpoint = resolve_endpoint(pasted)
    assert (endpoint.dialect.name, endpoint.base_url, endpoint.route) == (dialect, base_url, route)
    assert endpoint.is_score == (route == SCORE)


@pytest.mark.parametrize(
    ("pasted", "says"),
    [
        ("", "is empty"),
        ("phi.eastus2.models.ai.azure.com", "no scheme"),
        ("ftp://phi.eastus2.models.ai.azure.com", "'ftp'"),
        ("https://", "no host"),
        ("https://me:secret@phi.eastus2.models.ai.azure.com", "user or password"),
        ("http://127.0.0.1:99999", "not a URL"),
        ("https://phi eastus", "white space"),
        (f"{SERVERLESS}/embeddings", "the path '/embeddings'"),
        (f"{SERVERLESS}/score", "the path '/score'"),
        (f"{MANAGED}/api/v2", "the path '/api/v2'"),
        (f"{LOCAL}/elsewhere", "the path '/elsewhere'"),
        (f"{LOCAL}/managed-compute/elsewhere", "the path '/managed-compute/elsewhere'"),
        ("https://example.com", "name its `dialect`"),
        ("https://models.ai.azure.com.example.com", "name its `dialect`"),
        (f"{FOUNDRY}/elsewhere", "the path '/elsewhere'"),
        (f"{OPENAI}{PROJECT}", "the path '/api/projects/my-project'"),
        (f"{FOUNDRY}/api/projects", "the path '/api/projects'"),
        ("https://ai.azure.com/resource/deployments/phi", "a page of the portal"),
        ("https://ml.azure.com", "a page of the portal"),
        (f"{SERVERLESS}?code=secret", "holds `code`"),
        (f"{SERVERLESS}#secret", "holds a `#`"),
        ("localhost:16180", "write `http://`"),
        ("127.0.0.1:16180", "write `http://`"),
        ("https://phi\x00.models.ai.azure.com", "characters that no URL"),
        ("https://phi..models.ai.azure.com", "no name and no address"),
        ("https://-phi.models.ai.azure.com", "no name and no address"),
        ("https://p<h>i.example.com", "no name and no address"),
        ("https://p%68i.example.com", "no name and no address"),
        ("https://xn--a.example", "no name and no address"),
        ("https://[v1.x]", "no name and no address"),
        ("https://1.2.3.999", "no name and no address"),
        ("https://grüße.example", "not in ASCII"),
        (f"{SERVERLESS}/{'x' * 3000}", "longer than 2048"),
        ("http://gateway.example.com", "`allow_http=True`"),
        ("http://phi.eastus2.models.ai.azure.com", "use `https`"),
        ("http://ai.azure.com", "use `https`"),
    ],
)
def test_a_url_that_can_not_work_says_which_part_is_wrong(pasted: str, says: str) -> None:
    with pytest.raises(EndpointError) as caught:
        resolve_endpoint(pasted)
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_host_of_ones_own_works_with_its_dialect_and_may_have_a_path() -> None:
    endpoint = resolve_endpoint("https://gateway.example.com/phi/score", "managed_compute")
    assert (endpoint.base_url, endpoint.route) == ("https://gateway.example.com/phi", "/score")


@pytest.mark.parametrize("ending", ["", "/chat/completions?api-version=2025-01-01-preview"])
def test_the_portals_older_target_uri_names_the_deployment(ending: str) -> None:
    endpoint = resolve_endpoint(f"{OPENAI}/openai/deployments/my%20phi{ending}")
    assert (endpoint.dialect.name, endpoint.base_url, endpoint.route) == ("openai_v1", OPENAI, OPENAI_V1)
    assert endpoint.model == "my phi"


def test_of_two_dialects_on_one_host_one_can_be_asked_for() -> None:
    assert resolve_endpoint(FOUNDRY, "foundry_models").route == MODELS
    with pytest.raises(EndpointError, match="speaks `openai_v1`, `foundry_models`"):
        resolve_endpoint(FOUNDRY, "serverless")


@pytest.mark.parametrize("name", ["serverless", "managed_compute", "openai_v1", "foundry_models"])
@pytest.mark.parametrize("host", ["https://gateway.example.com", "http://127.0.0.1:9"])
def test_a_gateway_may_put_a_path_before_any_dialect(name: str, host: str) -> None:
    base = resolve_endpoint(f"{host}/team", name)
    pasted = resolve_endpoint(f"{host}/team{base.route}", name)
    assert pasted == base
    assert base.base_url == f"{host}/team"


@pytest.mark.parametrize(
    ("pasted", "dialect"), [(SERVERLESS, "managed_compute"), ("https://example.com", "openai"), (LOCAL, "x")]
)
def test_a_dialect_that_does_not_fit_is_refused(pasted: str, dialect: str) -> None:
    with pytest.raises(EndpointError, match="`dialect`"):
        resolve_endpoint(pasted, dialect)


def test_the_emulator_has_a_place_for_a_dialect_that_is_asked_for() -> None:
    endpoint = resolve_endpoint("emulator", "managed_compute")
    assert (endpoint.base_url, endpoint.dialect.name) == (f"{LOCAL}/managed-compute", "managed_compute")
    assert endpoint.is_emulator


def test_a_path_on_a_host_of_azure_is_wrong_even_with_its_dialect() -> None:
    with pytest.raises(EndpointError, match="the path"):
        resolve_endpoint(f"{SERVERLESS}/elsewhere", "serverless")


def test_the_api_version_of_a_pasted_url_is_kept() -> None:
    pasted = f"{SERVERLESS}/chat/completions?api-version=2024-04-01-preview"
    assert resolve_endpoint(pasted).api_version == "2024-04-01-preview"


@pytest.mark.parametrize(
    ("path", "dialect", "route"),
    [
        ("", "serverless", CHAT),
        ("/score", "managed_compute", SCORE),
        ("/managed-compute", "managed_compute", CHAT),
        ("/openai/v1", "openai_v1", OPENAI_V1),
        ("/models", "foundry_models", MODELS),
    ],
)
def test_on_a_host_of_ones_own_over_http_the_path_says_the_dialect(
    path: str, dialect: str, route: str
) -> None:
    endpoint = resolve_endpoint(f"http://emulator:16180{path}", allow_http=True)
    assert (endpoint.dialect.name, endpoint.route) == (dialect, route)
    named = resolve_endpoint("http://emulator:16180/team", "openai_v1", allow_http=True)
    assert named.base_url == "http://emulator:16180/team"


PIECES = st.sampled_from(
    [
        "http", "https", "://", ":", "/", "//", "@", "#", "?", "&", "=", "[", "]", "::1", "%", "%41", "..", ".", "-",
        "localhost", "127.0.0.1", "1.2.3.999", "emulator", "api-version", "xn--", "phi.eastus2.models.ai.azure.com",
        "v1", "_", "ai.azure.com", "chat/completions", "score", "models", "openai", "80", "99999", "é", "ß", "中",
        " ", "\u200b", "\ud800", "\x00", "\\",
    ]
)  # fmt: skip


@settings(deadline=None, max_examples=600)
@given(
    pasted=st.one_of(
        st.lists(PIECES, max_size=9).map("".join),
        st.lists(PIECES, max_size=7).map(lambda pieces: "https://" + "".join(pieces)),
        st.text(max_size=12).map("https://{}".format),
    ),
    dialect=st.sampled_from([None, "serverless", "openai_v1"]),
)
def test_any_text_resolves_to_a_url_that_can_be_sent_to_or_is_refused(
    pasted: str, dialect: str | None
) -> None:
    try:
        endpoint = resolve_endpoint(pasted, dialect, allow_http=True)
    except EndpointError:
        return
    url = httpx.URL(endpoint.base_url + endpoint.route)
    assert url.raw_host
    assert url.scheme in ("http", "https")
    assert not url.userinfo
    assert not url.query
