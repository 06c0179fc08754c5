"""What clients make of a faulty service: thirteen faults, four clients, one table in markdown.

Run it from the root of the repository: `python -m benchmarks.fault_table`. Each client has its default settings,
unless the row says otherwise; all answer to the same rule, which is printed under the table and is that of the
emulator's catalogue of faults.
"""
# ruff: noqa: INP001  # commands beside one another, no package

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from phi_emulator.faults.reading import read_line

from benchmarks.fault_clients import AzureAIInference, Client, NoSuchMethodError, OpenAI, Ours, OursAsync
from tests.fault_server import CATEGORIES, PARTIAL_CONTENT, REASONED_JSON, FaultServer, Route

PEERS: Final = {"openai": "openai", "azure.ai.inference": "azure-ai-inference"}
IDLE_LIMIT_S: Final = 3.0
ASKED_WAIT_S: Final = 2.0
SLACK_S: Final = 1.5
SMALLEST_BACK_OFF_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one exchange came to."""

    client: Client
    error: Exception | None
    text: str
    finish_reason: str | None
    seconds: float
    waits: tuple[float, ...]

    @property
    def is_answered_by_retry(self) -> bool:
        """True when one more attempt brought the answer."""
        return self.error is None and len(self.waits) == 1

    @property
    def has_own_error(self) -> bool:
        """True for an error of the client's own classes."""
        return isinstance(self.error, self.client.own_error)

    @property
    def keeps_text(self) -> bool:
        """True when the error carries the text that came."""
        partial = getattr(self.error, "partial", None)
        return getattr(partial, "content", None) == PARTIAL_CONTENT

    def told(self) -> str:
        """One cell's text."""
        late = f" after {self.seconds:.1f} s" if self.seconds > 1 else ""
        if self.error is None:
            is_flagged = self.finish_reason not in (None, "stop")
            what = f", `{self.finish_reason}` on the result" if is_flagged else " as if complete"
            return f"{len(self.text)} characters{what}{late}"
        name = f"`{type(self.error).__name__}`"
        if not self.has_own_error:
            return f"foreign {name}{late}"
        return name + late + (", text kept in it" if self.keeps_text else "")


@dataclass(frozen=True, slots=True)
class Cell:
    """What a client did with a fault, and whether that is right; `None` where the rule can't be applied."""

    is_right: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Bench:
    """Where the rows measure."""

    server: FaultServer
    trials: int

    def complete(self, client: Client, scenario: str) -> Outcome:
        """One completion."""
        route = self.server.route(scenario)
        return _outcome(client, route, lambda pieces: pieces.append(client.complete(route.url)))

    def stream(self, client: Client, scenario: str, timeout: float | None = None) -> Outcome:
        """One stream, read to its end."""
        route = self.server.route(scenario)
        return _outcome(client, route, lambda pieces: client.stream(route.url, pieces, timeout))


def _outcome(client: Client, route: Route, work: Callable[[list[str]], str | None]) -> Outcome:
    pieces: list[str] = []
    error, finish_reason, started = None, None, time.monotonic()
    try:
        finish_reason = work(pieces)
    except Exception as caught:  # noqa: BLE001  # whatever a client raises is the finding
        error = caught
    seconds = time.monotonic() - started
    return Outcome(client, error, "".join(pieces), finish_reason, seconds, tuple(route.waits))


Judge = Callable[[Bench, Client], Cell]


def backs_off(*scenarios: str) -> Judge:
    """Right: each trial is answered by the second attempt, after a wait that differs from trial to trial."""

    def judge(bench: Bench, client: Client) -> Cell:
        cells = [_backs_off(bench, client, scenario) for scenario in scenarios]
        labels = [f"{scenario}: " if len(scenarios) > 1 else "" for scenario in scenarios]
        text = "; ".join(label + cell.text for label, cell in zip(labels, cells, strict=True))
        return Cell(all(cell.is_right for cell in cells), text)

    return judge


def _backs_off(bench: Bench, client: Client, scenario: str) -> Cell:
    outcomes = [bench.complete(client, scenario) for _ in range(bench.trials)]
    waits = [wait for outcome in outcomes for wait in outcome.waits]
    if not all(outcome.is_answered_by_retry for outcome in outcomes):
        return Cell(is_right=False, text=_not_retried(outcomes[0]))
    is_right = max(waits) >= SMALLEST_BACK_OFF_S and max(waits) - min(waits) > SMALLEST_BACK_OFF_S / 4
    return Cell(is_right, f"retried after {', '.join(f'{wait:.2f}' for wait in waits)} s")


def waits_two_seconds(scenario: str) -> Judge:
    """Right: the second attempt comes after the two seconds that the service asks for, and soon then."""

    def judge(bench: Bench, client: Client) -> Cell:
        outcome = bench.complete(client, scenario)
        if not outcome.is_answered_by_retry:
            return Cell(is_right=False, text=_not_retried(outcome))
        (wait,) = outcome.waits
        return Cell(0 <= wait + 0.01 - ASKED_WAIT_S < SLACK_S, f"retried after {wait:.2f} s")

    return judge


def _not_retried(outcome: Outcome) -> str:
    return f"not retried: {outcome.told()}" if not outcome.waits else f"given up: {outcome.told()}"


def names_the_filter(bench: Bench, client: Client) -> Cell:
    """Right: a class that other 400s don't have, with the verdict by category."""
    filtered = bench.complete(client, "400-content-filter")
    plain = bench.complete(client, "400-plain-text")
    is_own = filtered.has_own_error and type(filtered.error) is not type(plain.error)
    has_categories = getattr(filtered.error, "categories", None) == CATEGORIES
    what = ("its own class" if is_own else "as for any 400") + (
        ", categories in it" if has_categories else ""
    )
    return Cell(is_own and has_categories, f"{filtered.told()}, {what}")


def keeps_the_text(scenario: str) -> Judge:
    """Right: an error of the client's own that carries the text."""

    def judge(bench: Bench, client: Client) -> Cell:
        outcome = bench.stream(client, scenario)
        return Cell(outcome.has_own_error and outcome.keeps_text, outcome.told())

    return judge


def raises_its_own(scenario: str) -> Judge:
    """Right: an error of the client's own."""

    def judge(bench: Bench, client: Client) -> Cell:
        outcome = bench.stream(client, scenario)
        return Cell(outcome.has_own_error, outcome.told())

    return judge


def notices_silence(bench: Bench, client: Client) -> Cell:
    """Right: an error of the client's own as soon as the limit is reached."""
    outcome = bench.stream(client, "stream-pings", IDLE_LIMIT_S)
    is_in_time = IDLE_LIMIT_S - SLACK_S < outcome.seconds < IDLE_LIMIT_S + SLACK_S
    return Cell(outcome.has_own_error and is_in_time, outcome.told())


def tells_a_cut(bench: Bench, client: Client) -> Cell:
    """Right: the whole result names the reason, and reasoning without an answer is an error."""
    length, filtered = (bench.stream(client, f"stream-{name}") for name in ("length", "content-filter"))
    in_reasoning = bench.stream(client, "stream-length-in-reasoning")
    is_right = (length.finish_reason, filtered.finish_reason) == ("length", "content_filter")
    return Cell(
        is_right and in_reasoning.has_own_error,
        f"in the answer: {length.told()}; filtered: {filtered.told()}; in the reasoning: {in_reasoning.told()}",
    )


def parses_after_reasoning(bench: Bench, client: Client) -> Cell:
    """Right: the object, without the reasoning before it."""
    url = bench.server.route("reasoned-json").url
    try:
        parsed = client.parse(url)
    except NoSuchMethodError:
        return Cell(is_right=None, text="has no such method")
    except Exception as error:  # noqa: BLE001  # whatever a client raises is the finding
        foreign = "" if isinstance(error, client.own_error) else "foreign "
        return Cell(is_right=False, text=f"{client.parse_name}: {foreign}`{type(error).__name__}`")
    return Cell(parsed == REASONED_JSON, f"{client.parse_name}: the object")


@dataclass(frozen=True, slots=True)
class Row:
    """One fault, and what a client must do to be right."""

    fault: str
    rule: str
    judge: Judge


def right(fault: str) -> str:
    """What is right with a fault of the emulator, written as a line."""
    return read_line(fault).duty.value


ROWS: Final = (
    Row("429, no `Retry-After`", right("retry_after form=absent"), backs_off("429")),
    Row(
        "429, only `x-ratelimit-reset-tokens: 2`",
        right("retry_after form=reset_tokens"),
        waits_two_seconds("429-reset-tokens"),
    ),
    Row("429, `Retry-After: 2`", right("retry_after"), waits_two_seconds("429-retry-after")),
    Row("500", right("error error=engine_failed"), backs_off("500")),
    Row("502 / 408", right("error error=timed_out"), backs_off("502", "408")),
    Row("400 `content_filter`", right("error error=content_filter"), names_the_filter),
    Row(
        "Stream ends with neither finish reason nor `[DONE]`",
        right("no_end without=both"),
        keeps_the_text("stream-cut"),
    ),
    Row("Connection reset in mid-stream", right("cut_body how=reset"), keeps_the_text("stream-reset")),
    Row("Chunk that is no JSON", right("malformed_event"), raises_its_own("stream-invalid-json")),
    Row("Error object in mid-stream", right("error_in_stream"), raises_its_own("stream-error-object")),
    Row(f"`: ping` comments only, `timeout={IDLE_LIMIT_S:g}`", right("comments_only"), notices_silence),
    Row("`finish_reason` `length` / `content_filter` in a stream", right("finish"), tells_a_cut),
    Row(
        "`<think>…</think>{json}` as structured output",
        "gives the object without the reasoning before it",
        parses_after_reasoning,
    ),
)


def measure(clients: Sequence[Client], *, patience_s: float, trials: int) -> list[list[Cell]]:
    """The cells of all rows; the clients of a row work side by side."""
    rows: list[list[Cell]] = []
    limit_s = 4 * patience_s + 60
    with FaultServer(patience_s=patience_s) as server:
        threads = ThreadPoolExecutor(len(clients))
        bench = Bench(server, trials)
        for number, row in enumerate(ROWS, 1):
            print(f"[{number}/{len(ROWS)}] {row.fault}", file=sys.stderr, flush=True)
            futures = [threads.submit(row.judge, bench, client) for client in clients]
            rows.append([])
            for future in futures:
                try:
                    rows[-1].append(future.result(limit_s))
                except TimeoutError:
                    rows[-1].append(Cell(is_right=False, text=f"not back after {limit_s:.0f} s"))
        threads.shutdown(wait=False, cancel_futures=True)
    return rows


def write_table(clients: Sequence[Client], rows: list[list[Cell]]) -> str:
    """The table, the verdicts counted, and the rules, in markdown."""
    verdicts = {True: "right", False: "**wrong**", None: "n/a"}
    heads = ["Fault", *(head for client in clients for head in (f"`{client.name}`", "verdict"))]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for row, cells in zip(ROWS, rows, strict=True):
        told = [text for cell in cells for text in (cell.text, verdicts[cell.is_right])]
        lines.append(_line([row.fault, *told]))
    counts = [sum(cells[column].is_right is True for cells in rows) for column in range(len(clients))]
    totals = [text for count in counts for text in ("", f"{count} of {len(ROWS)}")]
    lines += [
        _line(["Right", *totals]),
        "",
        _line(["Fault", "A client is right when it"]),
        _line(["---"] * 2),
    ]
    lines += [_line([row.fault, row.rule]) for row in ROWS]
    packages = ", ".join(f"{name} {version(name)}" for name in ("phi-client", *PEERS.values()))
    return "\n".join([*lines, "", f"Measured with {packages}."])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fault_table", description=__doc__)
    parser.add_argument(
        "--patience",
        type=float,
        default=10.0,
        help="seconds after which the server ends a stream of comments",
    )
    parser.add_argument("--trials", type=int, default=3, help="exchanges in a row about back-off")
    options = parser.parse_args()
    missing = [package for module, package in PEERS.items() if not _is_installed(module)]
    if missing:
        print(f"The peers to compare with are missing: pip install {' '.join(missing)}", file=sys.stderr)
        return 2
    # A proxy of the environment would get the peers' traffic, which never leaves this machine.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    clients: list[Client] = [Ours(), OursAsync(), OpenAI(), AzureAIInference()]
    print(write_table(clients, measure(clients, patience_s=options.patience, trials=options.trials)))
    return 0


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(main())
