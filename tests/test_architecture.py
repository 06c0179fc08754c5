"""Which module may import which: the layers of the design, read from the source by AST."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
CLIENT = ROOT / "phi_client"
EMULATOR = ROOT / "emulator" / "phi_emulator"

# Rank of each room of the client; a room imports its own rank and those below.
RANKS = {
    "contract": 0, "errors": 1, "_call": 2, "_answers": 3, "_wire": 3, "_map": 3,
    "_streams": 4, "_helpers": 4, "_async_helpers": 4, "_client": 4, "_async_client": 4, "_check": 4,
    "testing": 4, "__init__": 5, "__main__": 5,
}  # fmt: skip
# Third parties by rank of the client.
ALLOWED = {
    0: {"pydantic"},
    1: set[str](),
    2: {"tenacity", "opentelemetry", "httpx"},
    3: {"httpx", "httpcore", "azure", "pydantic"},
    4: {"pydantic"},
    5: set[str](),
}
# What each folder of the emulator may import of the two packages and of others.
EMULATOR_ALLOWED = {
    "models": {
        "phi_emulator.models",
        "filelock",
        "huggingface_hub",
        "httpx",
        "numpy",
        "onnx",
        "onnx_ir",
        "platformdirs",
    },
    "engine": {
        "phi_emulator.models",
        "phi_emulator.engine",
        "numpy",
        "onnxruntime_genai",
        "onnx",
        "onnx_ir",
        "psutil",
    },
    "service": {
        "phi_emulator.models", "phi_emulator.engine", "phi_emulator.service", "phi_client.contract",
        "jwt", "cryptography",
    },
    "web": {"phi_emulator.service", "phi_emulator.web", "phi_client.contract", "starlette"},
}  # fmt: skip
# One file for each form of the native engine: its Engine, and the Generator of older builds in its process.
THE_ENGINES = {
    EMULATOR / "engine" / "ort.py",
    EMULATOR / "engine" / "ort_generator_process.py",
}

CLIENT_FILES = sorted(CLIENT.rglob("*.py"))
EMULATOR_FILES = sorted(EMULATOR.rglob("*.py"))
ALL_FILES = [*CLIENT_FILES, *EMULATOR_FILES, *sorted((ROOT / "tests").rglob("*.py"))]


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


def rank_of(path: Path) -> int:
    parts = path.relative_to(CLIENT).with_suffix("").parts
    return RANKS[parts[0]]


def test_the_rules_see_the_source() -> None:
    assert len(CLIENT_FILES) > 20
    assert {module for module, _ in imports_of(CLIENT / "_client.py")} >= {
        "phi_client._wire.http",
        "phi_client._streams",
    }


@pytest.mark.parametrize("path", CLIENT_FILES, ids=name_of)
def test_the_client_imports_only_downwards(path: Path) -> None:
    rank = rank_of(path)
    for module, _ in imports_of(path):
        parts = module.split(".")
        if parts[0] == "phi_client" and len(parts) > 1 and parts[1] in RANKS:
            assert RANKS[parts[1]] <= rank, f"{name_of(path)} imports {module}"
    assert third_parties(path) <= ALLOWED[rank]


@pytest.mark.parametrize("path", CLIENT_FILES, ids=name_of)
def test_one_module_alone_imports_the_http_library(path: Path) -> None:
    if "_wire" not in path.parts:
        assert "httpx" not in third_parties(path)


@pytest.mark.parametrize("path", CLIENT_FILES, ids=name_of)
def test_one_module_alone_knows_opentelemetry(path: Path) -> None:
    if path.name != "telemetry.py":
        assert "opentelemetry" not in third_parties(path)


@pytest.mark.parametrize("path", CLIENT_FILES, ids=name_of)
def test_the_client_never_imports_the_emulator(path: Path) -> None:
    assert not [module for module, _ in imports_of(path) if module.startswith(("phi_emulator", "emulator"))]


@pytest.mark.parametrize("path", EMULATOR_FILES, ids=name_of)
def test_the_emulator_imports_of_the_client_nothing_but_the_contract(path: Path) -> None:
    for module, _ in imports_of(path):
        if module.partition(".")[0] == "phi_client" and module != "phi_client":
            assert module.startswith("phi_client.contract"), f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", EMULATOR_FILES, ids=name_of)
def test_the_folders_of_the_emulator_import_only_what_they_may(path: Path) -> None:
    folder = path.relative_to(EMULATOR).parts[0]
    if folder not in EMULATOR_ALLOWED:
        return
    allowed = tuple(EMULATOR_ALLOWED[folder])
    for module, _ in imports_of(path):
        if module.partition(".")[0] in sys.stdlib_module_names or module in ("phi_emulator", "phi_client"):
            continue
        assert module.startswith(allowed), f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", ALL_FILES, ids=name_of)
def test_the_adapters_alone_import_the_native_engine(path: Path) -> None:
    if path not in THE_ENGINES and (ROOT / "tests") not in path.parents:
        assert "onnxruntime_genai" not in third_parties(path)


@pytest.mark.parametrize("path", ALL_FILES, ids=name_of)
def test_the_emulator_is_never_imported_by_its_folder(path: Path) -> None:
    assert not [module for module, _ in imports_of(path) if module.startswith("emulator.phi_emulator")]


@pytest.mark.parametrize("path", [*CLIENT_FILES, *EMULATOR_FILES], ids=name_of)
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
        "_map", "_answers", "_call.totals",
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
    loaded = loaded_after("import phi_emulator.server, phi_emulator.service.entra")
    assert "uvicorn" in loaded
    assert not [module for module in loaded if module.partition(".")[0] in ("jwt", "cryptography", "azure")]


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
