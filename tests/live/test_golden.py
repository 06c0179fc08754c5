"""Rewriting golden files from answers, proved with the emulator in Azure's place and a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from phi_emulator import Emulator

from phi_client.contract.dialects import DIALECTS, SERVERLESS, resolve_endpoint
from tests.live.conftest import DEPLOYMENT, PREFIX, live_endpoints
from tests.live.scenarios import (
    SCENARIOS,
    WIRE,
    Golden,
    Target,
    golden_of,
    read_golden,
    scenarios_of,
    write_golden,
)

KEY = "a-key-that-must-never-be-stored"
HOST = "name-of-mine.eastus2.models.ai.azure.com"
GUID = "2f0c5d0e-7b7c-4a59-9f0e-0f4b3a3f8b11"
TARGET = Target("azure-1-serverless", resolve_endpoint(f"https://{HOST}"), KEY, model="my-deployment")


def golden_body(content: bytes, status: int = 200, content_type: str = "application/json") -> str:
    answer = httpx.Response(status, content=content, headers={"Content-Type": content_type, "Date": "today"})
    return golden_of(answer, TARGET).body.decode()


def test_secrets_names_and_ids_are_not_stored() -> None:
    body = f'{{"error":{{"message":"{KEY} of my-deployment at {HOST}: {GUID}"}}}}'
    assert golden_body(body.encode(), 401) == (
        '{"error":{"message":"KEY of phi-4-mini-reasoning at HOST: 00000000-0000-0000-0000-000000000000"}}'
    )


def test_what_differs_each_time_becomes_what_golden_files_hold() -> None:
    body = (
        b'{"id": "0f3c", "created": 1790000000, "model": "phi-x",\n "choices": '
        b'[{"message": {"content": "<think>a \\"b\\"</think>c"}}],'
        b' "usage": {"prompt_tokens": 7, "completion_tokens": 8, "total_tokens": 15, "prompt_tokens_details": null}}'
    )
    assert golden_body(body) == (
        '{"id": "chatcmpl-1", "created": 1763856000, "model": "Phi-4-mini-reasoning",\n "choices": '
        '[{"message": {"content": "<think>6*7</think>42"}}],'
        ' "usage": {"prompt_tokens": 19, "completion_tokens": 11, "total_tokens": 30, "prompt_tokens_details": null}}'
    )


def test_reasoning_is_kept_where_it_was() -> None:
    body = b'{"reasoning_content":"long","content":"short"} {"reasoning_content":null,"content":""}'
    assert golden_body(body) == (
        '{"reasoning_content":"6*7","content":"42"} {"reasoning_content":null,"content":""}'
    )


def test_a_stream_keeps_its_first_chunk_one_text_and_its_end() -> None:
    chunks = ["", "six", " times", " seven", "END"]
    events = [
        f'data: {{"choices":[{{"delta":{{"content":"{text}"}},"finish_reason":null}}]}}\n\n'.replace(
            '"END"},"finish_reason":null', '""},"finish_reason":"stop"'
        )
        for text in chunks
    ]
    body = "".join(events) + "data: [DONE]\n\n"
    assert golden_body(body.encode(), content_type="text/event-stream") == (
        'data: {"choices":[{"delta":{"content":""},"finish_reason":null}]}\n\n'
        'data: {"choices":[{"delta":{"content":"42"},"finish_reason":null}]}\n\n'
        'data: {"choices":[{"delta":{"content":""},"finish_reason":"stop"}]}\n\n'
        "data: [DONE]\n"
    )


def test_only_headers_of_a_kind_are_kept() -> None:
    answer = httpx.Response(429, headers={"retry-after": "5", "x-request-id": GUID, "apim-request-id": GUID})
    assert golden_of(answer, TARGET).head == {"status": "429", "Retry-After": "5"}


def test_a_golden_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    golden = Golden({"status": "200", "Content-Type": "text/event-stream"}, b"data: 1\n\n\ndata: [DONE]\n")
    path = tmp_path / "serverless" / "stream.wire"
    write_golden(path, golden, day="2026-11-23")
    assert read_golden(path) == golden
    assert path.read_bytes().startswith(b"origin: recorded 2026-11-23\nsource: ")


def test_a_secret_is_not_shown() -> None:
    assert KEY not in repr(TARGET)


def test_the_environment_names_the_deployments() -> None:
    environ = {
        f"{PREFIX}ENDPOINT": f"https://{HOST} https://mine.services.ai.azure.com/openai/v1",
        f"{PREFIX}API_KEY": f"{KEY} -",
        f"{PREFIX}MODEL": "- phi",
    }
    first, second = live_endpoints(environ)
    assert (first[0], first[1].dialect, first[2:]) == ("azure-1-serverless", SERVERLESS, (KEY, None))
    assert (second[0], second[2:]) == ("azure-2-openai_v1", (None, "phi"))
    assert live_endpoints({}) == []


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"ENDPOINT": f"https://{HOST}", "API_KEY": "a b"}, "PHI_LIVE_API_KEY has 2 words"),
        ({"ENDPOINT": "nowhere"}, "the endpoint has no scheme"),
    ],
)
def test_a_setting_that_can_not_work_is_named(environ: dict[str, str], words: str) -> None:
    with pytest.raises(pytest.UsageError, match=words):
        live_endpoints({PREFIX + name: value for name, value in environ.items()})


def test_every_scenario_belongs_to_a_surface() -> None:
    assert {name for dialect in DIALECTS.values() for name in scenarios_of(dialect)} == set(SCENARIOS)


def test_the_live_tests_rewrite_golden_files_from_deployments_that_are_named(
    emulator: Emulator, tmp_path: Path
) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PHI_")}
    environ |= {
        f"{PREFIX}ENDPOINT": " ".join(emulator.endpoint_of(name) for name in DIALECTS),
        f"{PREFIX}API_KEY": " ".join(emulator.key for _ in DIALECTS),
        f"{PREFIX}MODEL": " ".join(
            DEPLOYMENT if dialect.needs_model else "-" for dialect in DIALECTS.values()
        ),
    }
    tests = Path(__file__).with_name("test_live.py")
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "azure", str(tests),
        "--rewrite-golden", str(tmp_path),
    ]  # fmt: skip
    ran = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=False, cwd=WIRE.parents[2]
    )
    assert ran.returncode == 0, ran.stdout
    assert "skipped" not in ran.stdout
    for name, dialect in DIALECTS.items():
        for scenario in scenarios_of(dialect):
            written = tmp_path / name / f"{scenario}.wire"
            assert written.read_bytes().startswith(b"origin: recorded 20")
            assert read_golden(written) == read_golden(WIRE / name / f"{scenario}.wire")
            assert emulator.key.encode() not in written.read_bytes()
