"""What Prometheus reads of a running emulator: by its own parser, after real requests, under names as it wants them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import openai
from phi_emulator.telemetry.metrics import Gauges, Metrics
from phi_emulator.telemetry.told import Told
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric

    from tests.together.conftest import Running, StartEmulator

ASK = {"messages": [{"role": "user", "content": "x"}]}
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
UNITS = ("_seconds", "_total", "_info", "_running", "_waiting", "_up")


def families(running: Running, accept: str = "text/plain") -> dict[str, Metric]:
    answer = httpx.get(f"{running.emulator.root}/_emulator/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    read = openmetrics if "openmetrics" in answer.headers["content-type"] else parser
    found: Iterable[Metric] = read.text_string_to_metric_families(answer.text)
    return {family.name: family for family in found}


def values(running: Running, family: str, **wanted: str) -> float:
    """The sum of the samples with these labels; of a histogram the number of observations."""
    samples = families(running)[family].samples
    return sum(
        one.value
        for one in samples
        if not one.name.endswith(("_bucket", "_sum", "_created")) and wanted.items() <= one.labels.items()
    )


def test_requests_are_counted_by_what_became_of_them(start_emulator: StartEmulator) -> None:
    running = start_emulator()
    running.emulator.faults.add("error", error="engine_failed", times=1)
    running.emulator.faults.add("cut_body", bytes=1, when={"call": 3})
    assert [running.http.post("/chat/completions", json=ASK).status_code for _ in range(2)] == [500, 200]
    running.http.post("/chat/completions", json={})
    running.http.get("/no/such/path")
    name = "phi_emulator_requests"
    route = "/chat/completions"
    assert values(running, name, route=route, status="500", fault="error", surface="serverless") == 1
    assert values(running, name, route=route, status="200", fault="") == 1
    assert (
        values(running, name, route=route, status="422") + values(running, name, route=route, status="400")
        == 1
    )
    assert values(running, name, route="other") == 1
    assert values(running, "gen_ai_server_request_duration_seconds", error_type="500") == 1
    assert values(running, "gen_ai_server_request_duration_seconds", error_type="") == 1


def test_tokens_and_times_of_a_foreign_clients_stream_are_counted_once_it_has_read_the_end(
    start_emulator: StartEmulator,
) -> None:
    running = start_emulator()
    endpoint = running.emulator.endpoint_of("openai_v1")
    with openai.OpenAI(base_url=endpoint, api_key=running.emulator.key_of("openai_v1")) as client:
        stream = client.chat.completions.create(
            model="phi",
            messages=[{"role": "user", "content": "x"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        usage = [chunk.usage for chunk in stream if chunk.usage is not None][-1]
    wanted = {"surface": "openai_v1"}
    assert values(running, "phi_emulator_prompt_tokens", **wanted) == usage.prompt_tokens
    assert values(running, "phi_emulator_completion_tokens", **wanted) == usage.completion_tokens
    for name in ("request_duration", "time_to_first_token", "time_per_output_token"):
        labels = wanted | {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "azure.ai.openai"}
        assert values(running, f"gen_ai_server_{name}_seconds", **labels) == 1
    assert values(running, "phi_emulator_request_queue_seconds", **wanted) == 1
    assert values(running, "phi_emulator_engine_steps") > 0
    assert values(running, "phi_emulator_engine_up") == 1


def test_callers_can_add_no_values_of_labels(start_emulator: StartEmulator) -> None:
    running = start_emulator(deployments=("known",))
    key, root = running.emulator.key, running.emulator.root
    with httpx.Client(base_url=root, headers={"api-key": key}) as client:
        for number in range(20):
            for path in (
                f"/openai/deployments/name-{number}/chat/completions?api-version=2024-10-21",
                f"/openai/v1/models/name-{number}",
                f"/name-{number}",
                f"/models/chat/completions?api-version=name-{number}",
            ):
                client.post(path, json=ASK | {"model": f"name-{number}"})
                client.request(f"METHOD{number}", path)
                client.get(path, headers={"x-phi-scope": f"name-{number}", "x-phi-fault": f"name-{number}"})
    found = families(running)
    assert not [sample for family in found.values() for sample in family.samples if "name-1" in str(sample)]
    assert len(found["phi_emulator_requests"].samples) < 40


def test_names_are_as_prometheus_wants_them(running: Running) -> None:
    running.http.post("/chat/completions", json=ASK)
    for accept in ("text/plain", OPENMETRICS):
        found = families(running, accept)
        assert len(found) > 12
        for name, family in found.items():
            assert re.fullmatch(r"(phi_emulator|gen_ai_server)(_[a-z]+)*", name)
            assert family.documentation.endswith(".")
            assert not re.search(r"_(ms|milliseconds|count|sum|bucket|gauge|counter|histogram)$", name)
            assert (family.type == "counter") == any(
                one.name.endswith("_total") for one in family.samples
            ) or (family.type == "counter" and not family.samples)
            if family.type == "histogram":
                assert name.endswith("_seconds")
            for sample in family.samples:
                assert sample.name.endswith((*UNITS, "_bucket", "_sum", "_count"))
                assert not {"le", "quantile", "job", "instance"} & sample.labels.keys() - {"le"}


def test_no_key_is_needed_and_none_is_told(start_emulator: StartEmulator) -> None:
    running = start_emulator(key="a-key-of-ones-own")
    httpx.post(
        f"{running.emulator.root}/chat/completions", json=ASK, headers={"authorization": "Bearer wrong-key"}
    )
    page = httpx.get(f"{running.emulator.root}/_emulator/metrics")
    assert page.status_code == 200
    assert 'status="401"' in page.text
    assert "key" not in re.sub(r"^#.*$", "", page.text, flags=re.MULTILINE)
    assert httpx.post(f"{running.emulator.root}/_emulator/metrics").status_code in (401, 405)


def test_a_histogram_says_how_many_were_not_above_each_bound() -> None:
    metrics = Metrics()
    for seconds in (0.005, 0.01, 0.5, 1e6):
        metrics.end(
            Told(
                surface="s", provider="p", method="POST", route="/r", model="m", status=200, ending="answered",
                is_chat=True, received=0.0, over=seconds,
            )
        )  # fmt: skip
    gauges = Gauges(
        model='a "name" \\ of\nits own',
        execution_provider="e",
        running=0,
        waiting=0,
        steps=0,
        reloads=0,
        is_up=False,
    )
    text = metrics.page(gauges, None)().body.decode()
    found = {family.name: family for family in parser.text_string_to_metric_families(text)}
    samples = found["gen_ai_server_request_duration_seconds"].samples
    buckets = {one.labels["le"]: one.value for one in samples if one.name.endswith("_bucket")}
    assert (buckets["0.01"], buckets["0.32"], buckets["0.64"], buckets["81.92"], buckets["+Inf"]) == (
        2,
        2,
        3,
        3,
        4,
    )
    (info,) = found["phi_emulator_info"].samples
    assert info.labels["model"] == 'a "name" \\ of\nits own'
