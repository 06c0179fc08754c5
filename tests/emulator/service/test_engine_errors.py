"""What callers are told when the engine can't serve them now."""

import pytest
from phi_emulator.engine.errors import EngineError, QueueFullError, QueueTimeoutError
from phi_emulator.service.errors import error_of_engine

from phi_client.contract.service import SERVERLESS, SURFACES


@pytest.mark.parametrize("error", [QueueFullError(8, 7), QueueTimeoutError(30, 7)])
@pytest.mark.parametrize("dialect", SURFACES)
def test_a_queue_without_room_and_one_that_takes_too_long_are_429_with_a_time_to_wait(
    error: EngineError, dialect: str
) -> None:
    refusal = error_of_engine(error, SURFACES[dialect]).refusal
    assert refusal.status == 429
    assert refusal.headers["Retry-After"] == "7"


def test_the_reason_names_what_was_waited_for() -> None:
    assert "30 s" in str(error_of_engine(QueueTimeoutError(30, 7), SERVERLESS))
