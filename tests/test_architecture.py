"""Which module may import which: the layers of the design, read from the source by AST."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

ROOT = Path(__file__).parents[1]
CLIENT = ROOT / "phi_client"
EMULATOR = ROOT / "emulator" / "phi_emulator"
PLUGIN = ROOT / "emulator" / "pytest_phi"

# Third parties by package of the client; a package that is not named here imports none.
THIRD_PARTIES = {
    "contract": {"pydantic"},
    "_call": {"tenacity", "opentelemetry"},
    "_answers": {"math_verify", "pydantic"},
    "_wire": {"httpx", "httpcore", "azure"},
    "_helpers": {"pydantic"},
    "_async_helpers": {"pydantic"},
}
# What touches the network, by which the wire is known. asyncio is everybody's who carries tasks.
NETWORK = {"httpx", "httpcore", "ssl", "socket", "select", "selectors", "urllib3", "requests"}
# Third parties by room of the emulator; a room that is not named here imports none.
EMULATORS_THIRD_PARTIES = {
    "models/durable": set[str](),
    "models/graph": {"filelock", "numpy", "onnx", "onnx_ir"},
    "models/store": {"filelock", "httpx", "huggingface_hub", "platformdirs"},
    "engine/machine": {"numpy", "onnxruntime", "psutil"},
    "engine/native": {"numpy", "onnxruntime", "onnxruntime_genai", "psutil"},
    "inspector": {"latex2mathml"},
    "scripts": {"jsonschema_rs", "regex"},
    "service": {"cryptography", "jwt"},
    "telemetry": {"opentelemetry", "prometheus_client"},
    "web": {"opentelemetry", "starlette", "uvicorn", "h11"},
    "emulator": {"opentelemetry"},
    "recordings": {"azure", "httpx", "starlette"},
    "bench": {"httpx"},
    "grading": {"starlette"},
    "mcp": {"httpx", "mcp", "pydantic"},
    "containers": {"testcontainers"},
    "platforms": {"psutil"},
    "chat": {"platformdirs", "prompt_toolkit", "wcwidth"},
    "doctor": {"click", "numpy", "onnx", "onnxruntime"},
    "command_line": {"click", "opentelemetry", "prompt_toolkit", "tqdm"},
}
# One file for each form of the native engine: its Engine, its tokenizer alone, and the Generator of older builds in its
# process.
THE_ENGINES = {
    EMULATOR / "engine" / "native" / "ort.py",
    EMULATOR / "engine" / "native" / "ort_tokenizer.py",
    EMULATOR / "engine" / "native" / "ort_generator_process.py",
}

# What makes a client for `chat`, which is one of the client's callers.
CALLERS = {EMULATOR / "command_line" / "chat_run.py"}

CLIENT_FILES = sorted(CLIENT.rglob("*.py"))
EMULATOR_FILES = sorted(EMULATOR.rglob("*.py"))
PLUGIN_FILES = sorted(PLUGIN.rglob("*.py"))
EMULATOR_MODULES = {
    ".".join(path.relative_to(ROOT / "emulator").with_suffix("").parts).removesuffix(".__init__")
    for path in EMULATOR_FILES
}
ALL_FILES = [*CLIENT_FILES, *EMULATOR_FILES, *PLUGIN_FILES, *sorted((ROOT / "tests").rglob("*.py"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports_of(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    """Each imported module, by its full name, with `from package import module` as both."""
    package = path.relative_to(ROOT / "emulator" if EMULATOR in path.parents else ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            lead = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [lead, node.module]))
            yield module, node
            yield from ((f"{module}.{alias.name}", node) for alias in node.names)


def typing_only(path: Path) -> set[ast.stmt]:
    """Imports under `if TYPE_CHECKING:`, which no run ever makes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        statement
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
    }


def third_parties(path: Path) -> set[str]:
    heads = {module.partition(".")[0] for module, _ in imports_of(path)}
    return heads - set(sys.stdlib_module_names) - {"phi_client", "phi_emulator", "__future__"}


def package_of(path: Path) -> str:
    """The package of the client to which a file belongs; a file beside the packages is one of its own."""
    return path.relative_to(CLIENT).with_suffix("").parts[0]


def may_import(page: str = "house.md") -> dict[str, set[str]]:
    """The table of the page that draws a house."""
    text = (ROOT / "docs/explanation" / page).read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `([\w/]+)` \| ?(.*?) ?\|$",
        text.partition("| May import |")[2].partition("\n\n")[0],
        re.MULTILINE,
    )
    return {package: set(re.findall(r"`([\w/]+)`", allowed)) for package, allowed in rows}


def room_of(module: str, rooms: Collection[str]) -> str | None:
    """The room of a module of the emulator, by its full name: the innermost that is drawn."""
    parts = module.split(".")[1:] or ["__init__"]
    named = ("/".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in named if name in rooms), None)


def modules_of_client() -> dict[str, Path]:
    """Every module of the client by its full name."""
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in CLIENT_FILES}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


def test_the_rules_see_the_source() -> None:
    assert len(CLIENT_FILES) > 20
    assert {module for module, _ in imports_of(CLIENT / "_client.py")} >= {
        "phi_client._wire.connections",
        "phi_client._stream",
    }
    assert "phi_client._call.completion" in {
        module for module, _ in imports_of(CLIENT / "_call" / "interruptions.py")
    }


def test_the_house_is_drawn_whole() -> None:
    assert set(may_import()) == {package_of(path) for path in CLIENT_FILES}


@pytest.mark.parametrize("path", CLIENT_FILES, ids=name_of)
def test_the_client_imports_only_what_its_drawing_allows(path: Path) -> None:
    drawn = may_import()
    package = package_of(path)
    for module, _ in imports_of(path):
        parts = module.split(".")
        if parts[0] == "phi_client" and len(parts) > 1 and parts[1] in drawn:
            assert parts[1] in drawn[package] | {package}, f"{name_of(path)} imports {module}"
    assert third_parties(path) <= THIRD_PARTIES.get(package, set())


@pytest.mark.parametrize("path", CLIENT_FILES, ids=name_of)
def test_the_wire_alone_touches_the_network(path: Path) -> None:
    if package_of(path) != "_wire":
        assert not NETWORK & {module.partition(".")[0] for module, _ in imports_of(path)}


def test_the_clients_modules_import_each_other_in_no_circle() -> None:
    modules = modules_of_client()
    imported = {
        name: {module for module, _ in imports_of(path) if module in modules and module != name}
        for name, path in modules.items()
    }
    # A package's own file hands names on, or says what the package is.
    faces = {name for name, path in modules.items() if path.name == "__init__.py"}
    order = TopologicalSorter({name: found - faces for name, found in imported.items() if name not in faces})
    order.prepare()  # raises CycleError, which names the circle


PRIVATE = re.compile(
    r"(?:httpx|httpcore|asyncio|tenacity|azure|pydantic|opentelemetry)(?:\.\w+)*\._(?!_)\w+"
    r"|from (?:httpx|httpcore|asyncio|tenacity|azure|pydantic|opentelemetry)[\w.]*\._\w+"
    r"|[\"'](?:_transport|_pool|_connection|_network_stream|_mounts|_sock|_loop|_selector)[\"']"
    r"|\._(?:transport|mounts|network_stream|sock|selector)\b"
)


@pytest.mark.parametrize("path", CLIENT_FILES, ids=name_of)
def test_no_line_reaches_for_a_private_name_of_another_package(path: Path) -> None:
    assert PRIVATE.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", CLIENT_FILES, ids=name_of)
def test_one_module_alone_knows_opentelemetry(path: Path) -> None:
    if path.name != "telemetry.py":
        assert "opentelemetry" not in third_parties(path)


@pytest.mark.parametrize("path", CLIENT_FILES, ids=name_of)
def test_the_client_never_imports_the_emulator(path: Path) -> None:
    assert not [module for module, _ in imports_of(path) if module.startswith(("phi_emulator", "emulator"))]


@pytest.mark.parametrize("path", EMULATOR_FILES, ids=name_of)
def test_the_emulator_imports_of_the_client_nothing_but_the_contract(path: Path) -> None:
    is_caller = path in CALLERS or EMULATOR / "chat" in path.parents
    for module, _ in imports_of(path):
        if module.partition(".")[0] == "phi_client" and module != "phi_client":
            is_public = module.count(".") == 1 or module.startswith("phi_client.errors")
            allowed = is_caller and is_public and not module.startswith("phi_client._")
            assert allowed or module.startswith("phi_client.contract"), f"{name_of(path)} imports {module}"


def test_the_talk_is_loaded_by_its_command_alone() -> None:
    loaded = loaded_after("import phi_emulator.command_line.commands, phi_emulator.cli")
    assert not {name for name in loaded if name.startswith(("phi_emulator.chat", "prompt_toolkit"))}


@pytest.mark.parametrize("path", EMULATOR_FILES, ids=name_of)
def test_the_emulator_imports_only_what_its_drawing_allows(path: Path) -> None:
    drawn = may_import("emulators-house.md")
    own = ".".join(path.relative_to(ROOT / "emulator").with_suffix("").parts)
    room = room_of(own, drawn)
    assert room is not None, f"{name_of(path)} is in no room"
    known = EMULATOR_MODULES
    for module, _ in imports_of(path):
        if module in known and module != "phi_emulator":
            assert room_of(module, drawn) in drawn[room] | {room}, f"{name_of(path)} imports {module}"
    assert third_parties(path) <= EMULATORS_THIRD_PARTIES.get(room, set())


@pytest.mark.parametrize("path", [*CLIENT_FILES, *EMULATOR_FILES], ids=name_of)
def test_nothing_imports_the_plugin(path: Path) -> None:
    heads = {module.partition(".")[0] for module, _ in imports_of(path)}
    assert not heads & {"pytest_phi", "pytest"}


@pytest.mark.parametrize("path", PLUGIN_FILES, ids=name_of)
def test_the_plugin_imports_of_others_only_pytest(path: Path) -> None:
    assert third_parties(path) - {"pytest_phi"} <= {"pytest", "starlette"}


def test_one_module_alone_makes_a_worker_and_all_others_know_a_source_of_answers() -> None:
    worker = "phi_emulator.engine.serving.worker"
    makers = {name_of(path) for path in EMULATOR_FILES if worker in {name for name, _ in imports_of(path)}}
    assert makers == {"emulator/phi_emulator/emulator.py"}


def test_the_emulators_rooms_are_drawn_in_layers() -> None:
    order = TopologicalSorter(may_import("emulators-house.md"))
    order.prepare()  # raises CycleError, which names the circle


# Rooms whose behaviour a caller sees: what they wait for and what they date goes by the emulator's clock.
BY_THE_CLOCK = ("web", "service", "faults", "latency", "journal", "recordings", "engine/serving")
# What is left to real time there, as it guards real things, and is no part of how the service behaves.
IN_REAL_TIME = {
    "web/transport.py": "a connection that is closed lingers, for what the system has on its way",
    "web/server.py": "what fails in the event loop a thousand times is logged once a minute",
    "engine/serving/delivery.py": "pieces of real computation are fetched a tick later",
    "engine/serving/turns.py": "one real computation waits for another",
    "journal/journal.py": "a test waits for exchanges to end",
    "web/insight/feeds.py": "whoever looks on is real, and no part of how the service behaves",
    "web/insight/routes.py": "the same",
}
CLOCKS = re.compile(
    r"\btime\.(?:time|time_ns|monotonic|monotonic_ns|perf_counter|sleep)\b|\bdatetime\.now\(|\bloop\.time\("
    r"|\basyncio\.(?:sleep\((?!0\))|timeout\b|timeout_at\b|wait_for\b)|loop\.call_(?:later|at)\("
)


def test_what_a_caller_sees_of_the_emulators_time_is_its_clocks() -> None:
    found = {
        str(path.relative_to(EMULATOR))
        for path in EMULATOR_FILES
        if str(path.relative_to(EMULATOR)).startswith(BY_THE_CLOCK)
        and CLOCKS.search(path.read_text(encoding="utf-8"))
    }
    assert found == set(IN_REAL_TIME)


def test_what_a_call_waits_for_is_the_clients_clocks() -> None:
    # Its sockets have limits of their own, for servers that go by no clock of ours.
    for path in sorted((CLIENT / "_call").rglob("*.py")):
        assert not re.search(r"\btime\.sleep|asyncio\.sleep|\.wait\(", path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("path", ALL_FILES, ids=name_of)
def test_the_adapters_alone_import_the_native_engine(path: Path) -> None:
    if path not in THE_ENGINES and (ROOT / "tests") not in path.parents:
        assert "onnxruntime_genai" not in third_parties(path)


@pytest.mark.parametrize("path", ALL_FILES, ids=name_of)
def test_the_emulator_is_never_imported_by_its_folder(path: Path) -> None:
    assert not [module for module, _ in imports_of(path) if module.startswith("emulator.phi_emulator")]


@pytest.mark.parametrize("path", [*CLIENT_FILES, *EMULATOR_FILES, *PLUGIN_FILES], ids=name_of)
def test_each_module_says_what_it_is_and_is_short(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert not source.strip() or ast.get_docstring(ast.parse(source)), f"{name_of(path)} has no docstring"
    assert source.count("\n") <= 400, f"{name_of(path)} is longer than 400 lines"


def loaded_after(statement: str) -> set[str]:
    script = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return set(done.stdout.split())


HEAVY = (
    "azure", "msal", "requests", "aiohttp", "starlette", "numpy", "onnxruntime", "phi_emulator", "math_verify", "sympy",
    "opentelemetry",
)  # fmt: skip
LAZY = {
    f"phi_client.{name}"
    for name in (
        "_map.work", "_map.pacing", "_map.checkpoint", "_map.progress", "_map.in_threads", "_map.in_tasks",
        "_answers.parsing", "_answers.voting", "_answers.forms", "_answers.math_verify", "_call.genai",
    )
}  # fmt: skip


def test_importing_the_client_loads_nothing_heavy() -> None:
    loaded = loaded_after("import phi_client")
    assert not [module for module in loaded if module.partition(".")[0] in HEAVY]


def test_importing_the_client_leaves_out_what_only_map_and_votes_need() -> None:
    assert not LAZY & loaded_after("import phi_client")


def test_making_and_closing_a_client_with_a_key_loads_no_credential_library() -> None:
    loaded = loaded_after("import phi_client; phi_client.PhiClient('emulator').close()")
    assert not [module for module in loaded if module.partition(".")[0] in HEAVY]


A_REPLY = """
import httpx, phi_client
body = b'{"choices": [{"message": {"content": "42"}, "finish_reason": "stop"}], "usage": {"total_tokens": 7}}'
http = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200, content=body)))
assert phi_client.PhiClient("emulator", http_client=http).complete("x").usage.total_tokens == 7
""".strip().replace("\n", "; ")


def test_a_first_reply_loads_neither_models_nor_asyncio() -> None:
    loaded = loaded_after(A_REPLY)
    assert "phi_client._call.exchange" in loaded
    assert not [
        name
        for name in loaded
        if name.partition(".")[0] in (*HEAVY, "pydantic", "asyncio", "anyio", "tenacity")
    ]


def test_the_emulators_server_loads_no_cryptography_before_the_first_token() -> None:
    loaded = loaded_after("import phi_emulator.web.server, phi_emulator.service.entra")
    assert "uvicorn" in loaded
    assert not [module for module in loaded if module.partition(".")[0] in ("jwt", "cryptography", "azure")]


def test_loading_the_plugin_loads_nothing_that_pytest_does_not() -> None:
    assert loaded_after("import pytest, pytest_phi") - loaded_after("import pytest") == {"pytest_phi"}


def test_the_contract_loads_neither_http_nor_retries() -> None:
    script = (
        "import types, pathlib; package = types.ModuleType('phi_client'); "
        "package.__path__ = [str(pathlib.Path('phi_client').resolve())]; sys.modules['phi_client'] = package; "
        "import phi_client.contract.dialects"
    )
    loaded = loaded_after(script)
    assert "phi_client.contract.dialects.serverless" in loaded
    assert not [
        module for module in loaded if module.partition(".")[0] in ("httpx", "httpcore", "tenacity", "ssl")
    ]
