"""Runs an engine by hand, as the worker would."""

from collections.abc import Sequence

from phi_emulator.engine.protocol import EndReason, Engine, Message, Sampling


class Driver:
    """Opens sequences under numbers and keeps what comes of them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.texts: dict[int, str] = {}
        self.tokens: dict[int, int] = {}
        self.ends: dict[int, EndReason] = {}
        self.cached: dict[int, int] = {}

    def open(self, sequence: int, question: str, sampling: Sampling) -> Sequence[int]:
        return self.begin(sequence, [Message("user", question)], sampling)

    def begin(self, sequence: int, messages: Sequence[Message], sampling: Sampling) -> Sequence[int]:
        prompt = self.engine.encode(messages)
        self.engine.open(sequence, prompt, sampling)
        self.texts[sequence], self.tokens[sequence] = "", 0
        return prompt

    def step(self) -> None:
        for step in self.engine.step():
            self.texts[step.sequence] += step.text
            self.tokens[step.sequence] += step.token is not None
            if step.end is not None:
                self.ends[step.sequence] = step.end
                self.cached[step.sequence] = step.cached_prompt_tokens
                self.engine.release(step.sequence)

    def finish(self) -> None:
        for _ in range(2000):
            if self.ends.keys() == self.texts.keys():
                return
            self.step()
        raise AssertionError(f"still running: {self.texts.keys() - self.ends.keys()}")
