"""What a request samples by, in 32 bits: no number means another thing there, and none breaks the engine."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from phi_emulator.engine.errors import EngineError, EngineFailedError
from phi_emulator.engine.native.native_sampling import as_float32, native_sampling
from phi_emulator.engine.protocol import Engine, Sampling

from tests.emulator.engine.driver import Driver

QUESTION = "What is 17 * 24?"
TINY = [5e-324, 1e-300, 1e-46, 7e-46, 1.5e-45, 1e-40, 1.2e-38, 1e-30, 1e-9]
FINITE = st.floats(min_value=0, max_value=1e308)


@given(FINITE, FINITE)
@example(7e-46, 1.0)
@example(1.0, 1e-46)
@example(1e300, 0.0)
def test_what_the_native_side_is_given_is_in_its_range_and_exact_in_32_bits(
    temperature: float, top_p: float
) -> None:
    native = native_sampling(Sampling(9, temperature=temperature, top_p=top_p), 1000)
    assert native.is_greedy == (as_float32(temperature) < 1e-30)
    if not native.is_greedy:
        assert 0 < native.temperature == as_float32(native.temperature) < math.inf
        assert 0 < native.top_p == as_float32(native.top_p) <= 1
        assert 0 < native.top_k <= 1000


@pytest.mark.parametrize("temperature", TINY)
def test_a_temperature_near_0_is_greedy(native_driver: Driver, temperature: float) -> None:
    native_driver.open(0, QUESTION, Sampling(12, temperature=0))
    native_driver.open(1, QUESTION, Sampling(12, temperature=temperature, seed=1))
    native_driver.finish()
    assert native_driver.texts[0] == native_driver.texts[1]


@pytest.mark.parametrize("top_p", [0.0, *TINY])
def test_a_nucleus_near_0_is_the_likeliest_token_however_hot(native_driver: Driver, top_p: float) -> None:
    native_driver.open(0, QUESTION, Sampling(12, temperature=0))
    for seed in range(1, 4):
        native_driver.open(seed, QUESTION, Sampling(12, temperature=1.9, top_p=top_p, seed=seed))
    native_driver.finish()
    assert len(set(native_driver.texts.values())) == 1


REFUSED = [
    Sampling(12, temperature=math.nan),
    Sampling(12, temperature=1.0, top_p=math.nan),
    Sampling(10**6, temperature=0),
    Sampling(2**40, temperature=0),
    Sampling(-1, temperature=0),
]


@pytest.mark.parametrize("sampling", REFUSED, ids=str)
def test_what_the_native_engine_refuses_ends_that_sequence_and_no_other(
    ort_driver: Driver, sampling: Sampling
) -> None:
    engine = ort_driver.engine
    ort_driver.open(1, QUESTION, Sampling(30, temperature=0))
    ort_driver.step()
    for number in range(20):  # each has to give back what it took
        with pytest.raises(EngineError) as caught:
            engine.open(100 + number, engine.encode([]), sampling)
        assert not isinstance(caught.value, EngineFailedError)
        ort_driver.step()
    ort_driver.open(2, QUESTION, Sampling(30, temperature=0))
    ort_driver.finish()
    assert ort_driver.texts[1] == ort_driver.texts[2] != ""


def any_sampling(rng: random.Random) -> Sampling:
    def number() -> float:
        return float(
            rng.choice(
                [0.0, 1.0, *TINY, rng.random(), 10.0 ** rng.uniform(-330, 0), 2.0 ** rng.randint(-1074, 0)]
            )
        )

    return Sampling(
        rng.choice([1, 2, 5, 9]),
        temperature=number() * rng.choice([1, 2, 1e300]),
        top_p=number(),
        seed=rng.choice([None, 0, -1, 2**63 - 1, -(2**63), 2**31, rng.randint(-(2**63), 2**63 - 1)]),
        stop=tuple(
            rng.choice(["", "a", "\x00", "\ud800", "x" * 5000, "7"]) for _ in range(rng.randint(0, 3))
        ),
    )


@pytest.mark.parametrize("seed", range(3))
def test_no_request_that_the_contract_takes_is_refused_or_breaks_the_engine(ort: Engine, seed: int) -> None:
    rng, driver = random.Random(seed), Driver(ort)
    for number in range(60):
        driver.open(number, rng.choice(["", "1", QUESTION, "\x00", "<|end|>" * 9]), any_sampling(rng))
        if rng.random() < 0.5:
            driver.step()
        if len(driver.texts) - len(driver.ends) >= 4:
            driver.finish()
    driver.finish()
    assert all(driver.tokens[number] <= 9 for number in driver.tokens)
