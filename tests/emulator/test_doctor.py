"""The doctor: each thing that can be wrong is found and named, and a healthy machine is called so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.command_line.commands import phi_emulator
from phi_emulator.doctor import doctor
from phi_emulator.doctor.doctor import Doctor, Finding
from phi_emulator.doctor.int4_speed import bytes_a_second
from phi_emulator.doctor.look_at_settings import look_at_settings
from phi_emulator.doctor.trial import Trial, TrialError, read_profiles, try_model
from phi_emulator.engine.machine.builds import Build
from phi_emulator.models import resolve_model

GB = 1_000_000_000
WELL = Trial(
    execution_provider="CPUExecutionProvider",
    why="as asked for",
    notes=[],
    context_length=4096,
    load_s=0.1,
    prompt_tokens=29,
    first_token_s=0.01,
    tokens_a_second=100.0,
    ran={"CPUExecutionProvider": 1.0},
    on_the_cpu=["MatMulNBits"],
)
CPU_BUILD = [Build("onnxruntime-genai", "0.18.0"), Build("onnxruntime", "1.32.0")]


def trial_that(shows: Trial | Exception) -> Callable[..., Trial]:
    def run(folder: Path, **asked: Any) -> Trial:
        if isinstance(shows, Exception):
            raise shows
        return shows

    return run


def look(
    tmp_path: Path,
    *,
    device: str = "auto",
    model: str | None = None,
    environ: dict[str, str] | None = None,
    builds: list[Build] | None = None,
    available: int = 64 * GB,
    disk: int = 100 * GB,
    trial: Trial | Exception = WELL,
    speed: float | Exception = 24 * GB,
) -> list[Finding]:
    """What a doctor finds on a machine as it is described; nothing is loaded."""

    def measured() -> float:
        if isinstance(speed, Exception):
            raise speed
        return speed

    doctor = Doctor(
        EmulatorConfig(device=device, model=model),
        environ or {},
        pulled_to=tmp_path / "not" / "made" / "yet",
        builds=lambda: CPU_BUILD if builds is None else builds,
        available=lambda: available,
        free_disk=lambda path: disk,
        trial=trial_that(trial),
        speed=measured,
    )
    return list(doctor.findings())


def of(findings: list[Finding], subject: str) -> list[Finding]:
    return [finding for finding in findings if finding.subject == subject]


def test_a_healthy_machine_has_no_failure_and_no_warning(tmp_path: Path) -> None:
    findings = look(tmp_path)
    assert {finding.status for finding in findings} == {"ok", "note"}
    subjects = [finding.subject for finding in findings]
    assert subjects == [
        "machine",
        "packages",
        "disk",
        "model",
        "memory",
        "device",
        "speed",
        "forecast",
        "azure",
    ]


def test_builds_in_each_others_way_are_a_failure(tmp_path: Path) -> None:
    (found,) = of(look(tmp_path, builds=[*CPU_BUILD, Build("onnxruntime-genai-cuda", "0.18.0")]), "packages")
    assert found.status == "failure"
    assert "pip uninstall -y onnxruntime-genai onnxruntime-genai-cuda" in found.text


def test_a_disk_without_room_for_the_real_model_is_a_warning(tmp_path: Path) -> None:
    (found,) = of(look(tmp_path, disk=3 * GB), "disk")
    assert found.status == "warning"
    assert "4.9 GB" in found.text


def test_a_model_that_is_not_here_is_a_failure_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    findings = look(tmp_path, model="no-such-model")
    assert of(findings, "model")[0].status == "failure"
    assert of(findings, "forecast")
    assert of(findings, "device") == []


def test_a_model_that_does_not_fit_is_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "large"
    shutil.copytree(resolve_model().folder, folder)
    with (folder / "model.onnx.data").open("r+b") as file:
        file.truncate(5 * GB)  # no block of it is on the disk
    (found,) = of(look(tmp_path, model=str(folder), available=4 * GB), "memory")
    assert found.status == "failure"
    assert "5.1 GB of memory" in found.text or "5.0 GB of memory" in found.text


def test_a_trial_that_comes_to_nothing_is_a_failure_with_its_words(tmp_path: Path) -> None:
    (found,) = of(look(tmp_path, trial=TrialError("ended by signal 9")), "device")
    assert (found.status, found.text) == ("failure", "ended by signal 9")


def on_cuda(share: float) -> Trial:
    ran = {"CUDAExecutionProvider": share, "CPUExecutionProvider": 1 - share}
    return Trial(
        execution_provider="CUDAExecutionProvider",
        why="as asked for",
        notes=[],
        context_length=8192,
        load_s=9.0,
        prompt_tokens=29,
        first_token_s=0.1,
        tokens_a_second=90.0,
        ran=ran,
        on_the_cpu=["GroupQueryAttention", "Shape"],
    )


@pytest.mark.parametrize(("share", "status"), [(0.97, "note"), (0.2, "failure"), (0.0, "failure")])
def test_a_device_that_does_little_of_the_work_is_found_out(
    tmp_path: Path, share: float, status: str
) -> None:
    (found,) = of(look(tmp_path, device="cuda", trial=on_cuda(share)), "device")
    assert found.status == status
    assert f"{share:.0%} on CUDAExecutionProvider" in found.text
    assert "GroupQueryAttention" in found.text


def test_another_device_than_the_one_asked_for_is_a_failure(tmp_path: Path) -> None:
    (found,) = of(look(tmp_path, device="cuda"), "device")
    assert found.status == "failure"
    assert "cuda was asked for" in found.text


def test_the_forecast_is_a_range_and_names_the_context_that_fits(tmp_path: Path) -> None:
    (found,) = of(look(tmp_path, speed=24 * GB, available=12 * GB), "forecast")
    assert "5 to 8 tokens a second" in found.text
    assert "up to 56767 tokens of context" in found.text
    (found,) = of(look(tmp_path, available=4 * GB), "forecast")
    assert found.status == "warning"
    assert "takes 8.3 GB of memory" in found.text


def test_the_forecast_says_what_its_speed_means_for_an_answer(tmp_path: Path) -> None:
    (found,) = of(look(tmp_path, speed=24 * GB, available=12 * GB), "forecast")
    assert "so an answer of 2,000 tokens takes 4 to 7 min" in found.text


def test_too_little_for_a_context_of_use_is_a_warning_with_the_figures(tmp_path: Path) -> None:
    (found,) = of(look(tmp_path, available=int(8.3 * GB)), "forecast")
    assert found.status == "warning"
    assert "8.3 GB are there: too little, since a context of 2,048 tokens takes 8.4 GB with it" in found.text


def test_what_was_measured_is_not_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = resolve_model()
    real = replace(bundled, name="phi-4-mini-reasoning")
    monkeypatch.setattr(doctor, "resolve_model", lambda *_arguments: real)
    findings = look(tmp_path)
    assert of(findings, "forecast") == []
    assert "so an answer of 2,000 tokens takes 20 s" in of(findings, "speed")[0].text
    assert of(look(tmp_path, trial=TrialError("ended")), "forecast")


@pytest.mark.parametrize(("available", "status"), [(8.6, "failure"), (8.9, "ok")])
def test_a_model_with_too_little_for_a_context_of_use_is_a_failure(
    tmp_path: Path, available: float, status: str
) -> None:
    folder = tmp_path / "large"
    shutil.copytree(resolve_model().folder, folder)
    config = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
    config["model"]["context_length"] = 131_072
    del config["engine"]
    config["model"]["decoder"] |= {"num_hidden_layers": 32, "num_key_value_heads": 8, "head_size": 128}
    (folder / "genai_config.json").write_text(json.dumps(config), encoding="utf-8")
    with (folder / "model.onnx.data").open("r+b") as file:
        file.truncate(5 * GB)  # no block of it is on the disk
    (found,) = of(look(tmp_path, model=str(folder), available=int(available * GB)), "memory")
    assert found.status == status


def test_without_the_means_to_measure_there_is_no_forecast(tmp_path: Path) -> None:
    (found,) = of(look(tmp_path, speed=ImportError("no onnx")), "forecast")
    assert found.status == "note"


def test_the_endpoint_that_is_configured_is_asked(tmp_path: Path) -> None:
    with Emulator() as emulator:
        environ = {"PHI_ENDPOINT": emulator.endpoint, "PHI_API_KEY": emulator.key}
        well = look(tmp_path, environ=environ)
        wrong = look(tmp_path, environ=environ | {"PHI_API_KEY": "wrong-and-secret"})
    assert [(f.subject, f.status) for f in well if f.subject.startswith("azure")] == [
        ("azure endpoint", "ok"),
        ("azure key", "ok"),
        ("azure clock", "ok"),
    ]
    assert of(wrong, "azure key")[0].status == "failure"
    assert "wrong-and-secret" not in repr(wrong)


def test_an_endpoint_that_cannot_work_is_a_failure(tmp_path: Path) -> None:
    findings = look(tmp_path, environ={"PHI_ENDPOINT": "https://portal.azure.com/x", "PHI_API_KEY": "k"})
    assert of(findings, "azure endpoint")[0].status == "failure"


def test_the_trial_of_the_bundled_model_shows_that_the_cpu_ran() -> None:
    bundled = resolve_model()
    trial = try_model(bundled.folder, model=bundled.name, device="auto")
    assert trial.execution_provider == "CPUExecutionProvider"
    assert trial.ran == {"CPUExecutionProvider": 1.0}
    assert "MatMulNBits" in trial.on_the_cpu
    assert trial.tokens_a_second > 0


def test_a_trial_on_a_device_that_is_not_here_says_what_to_install() -> None:
    bundled = resolve_model()
    with pytest.raises(TrialError, match="emulator-cuda"):
        try_model(bundled.folder, model=bundled.name, device="cuda")


def test_a_trial_that_takes_too_long_is_ended() -> None:
    bundled = resolve_model()
    with pytest.raises(TrialError, match="longer than"):
        try_model(bundled.folder, model=bundled.name, device="cpu", limit_s=0.01)


def test_a_profile_is_read_by_execution_provider(tmp_path: Path) -> None:
    events = [
        {"cat": "Session", "dur": 1000, "args": {}},
        {"cat": "Node", "dur": 30, "args": {"provider": "CUDAExecutionProvider", "op_name": "MatMulNBits"}},
        {"cat": "Node", "dur": 5, "args": {"provider": "CPUExecutionProvider", "op_name": "Shape"}},
        {"cat": "Node", "dur": 5, "args": {"provider": "CPUExecutionProvider", "op_name": "Gather"}},
        {"cat": "Node", "dur": 0, "args": {"provider": "CPUExecutionProvider", "op_name": "Gather"}},
        {"cat": "Node", "dur": 7, "args": {"op_name": "a fence, without a provider"}},
    ]
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(events), encoding="utf-8")
    shares, on_the_cpu = read_profiles([path])
    assert shares == {"CUDAExecutionProvider": 0.75, "CPUExecutionProvider": 0.25}
    assert on_the_cpu == ["Gather", "Shape"]
    assert read_profiles([]) == ({}, [])


def test_the_speed_of_this_processor_is_measured_in_bytes_of_weights() -> None:
    ticks = iter(range(1000))
    # A step of one second: the weights of six layers of Phi-4-mini's MLP, each with a scale for 32 of them.
    assert bytes_a_second(lambda: float(next(ticks))) == 6 * 3072 * 8192 * (0.5 + 4 / 32)


def test_the_command_prints_a_line_for_each_finding_and_exits_with_1_after_a_failure() -> None:
    runner = CliRunner()
    environ = {"PHI_ENDPOINT": None, "PHI_EMULATOR_MODEL": None, "PHI_EMULATOR_DEVICE": None}
    well = runner.invoke(phi_emulator, ["doctor", "--json"], env=environ)
    assert well.exit_code == 0, well.output
    assert {json.loads(line)["subject"] for line in well.output.splitlines()} >= {
        "device",
        "speed",
        "packages",
    }
    ill = runner.invoke(phi_emulator, ["doctor", "--model", "no-such-model"], env=environ)
    assert ill.exit_code == 1
    assert "failure  model" in ill.output


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "port = 1\n\nprot = 2\n",
            ("failure", "settings", "phi-emulator.toml:3: prot: there is no such setting"),
        ),
        ("faults = 'gone.toml'", ("failure", "settings", "phi-emulator.toml:1: faults: ")),
        ("script = 'gone.toml'", ("failure", "script", "it can't be used: ")),
        (
            "model = 'scripted:nothing'\n[[script.rule]]\nmodel = true",
            ("failure", "script", "rule 1 needs a model"),
        ),
        ("port = 1\n[[script.rule]]\nanswer = 'a'", ("ok", "settings", "2 settings of phi-emulator.toml")),
        ("port = 1\n[[script.rule]]\nanswer = 'a'", ("ok", "script", "1 rule")),
    ],
)
def test_the_file_of_settings_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: tuple[str, str, str]
) -> None:
    (tmp_path / "phi-emulator.toml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found, config = look_at_settings({}, Path("phi-emulator.toml"), {"context": 99})
    status, subject, said = told
    assert [one for one in found if (one.status, one.subject) == (status, subject) and said in one.text]
    # What is asked for on the command line is looked at in any case.
    assert config.context == 99


def test_the_command_names_what_is_wrong_in_the_file_and_looks_at_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("prot = 1", encoding="utf-8")
    done = CliRunner().invoke(phi_emulator, ["doctor", "--config", str(path), "--json"])
    findings = [json.loads(line) for line in done.output.splitlines()]
    assert done.exit_code == 1
    assert findings[0]["text"].startswith(f"{path}:1: prot: there is no such setting: did you mean `port`?")
    assert "device" in {finding["subject"] for finding in findings}


@pytest.mark.parametrize("arguments", [["--device", "gpu"], ["--context", "0"], ["--context", "many"]])
def test_wrong_usage_of_the_command_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(phi_emulator, ["doctor", *arguments]).exit_code == 2
