"""What the fixtures give to a test, and that nothing of it is left for the next."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import RunTests

SUM = "What is 12 + 30?"


def test_code_under_test_finds_the_emulator_in_its_environment(run_tests: RunTests) -> None:
    run_tests(
        """
        import os
        import pytest
        from phi_client import PhiClient

        def ask():
            with PhiClient() as client:
                return client.complete("What is 12 + 30?", temperature=0).answer

        @pytest.mark.usefixtures("phi_emulator")
        def test_it():
            assert ask() == "42"

        def test_nothing_is_left():
            assert "PHI_ENDPOINT" not in os.environ and "PHI_API_KEY" not in os.environ
        """
    ).assert_outcomes(passed=2)


def test_the_environment_of_another_endpoint_is_put_aside_and_back(
    run_tests: RunTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHI_ENDPOINT", "https://x.eastus2.models.ai.azure.com")
    monkeypatch.setenv("PHI_API_KEY", "the-real-ones")
    monkeypatch.setenv("PHI_MODEL", "its-model")
    run_tests(
        """
        import os

        def test_it(phi_emulator):
            assert os.environ["PHI_ENDPOINT"] == phi_emulator.endpoint
            assert os.environ["PHI_API_KEY"] == phi_emulator.key
            assert "PHI_MODEL" not in os.environ

        def test_after():
            assert os.environ["PHI_API_KEY"] == "the-real-ones"
            assert os.environ["PHI_MODEL"] == "its-model"
        """
    ).assert_outcomes(passed=2)


def test_one_emulator_serves_all_tests_and_a_fixture_of_the_session_may_keep_a_client(
    run_tests: RunTests,
) -> None:
    run_tests(
        """
        import pytest

        seen = set()

        @pytest.fixture(scope="session")
        def client(phi_emulator):
            with phi_emulator.client(max_retries=0) as client:
                yield client

        @pytest.mark.parametrize("number", range(3))
        def test_it(client, phi_emulator, phi_faults, phi_journal, number):
            phi_faults.add("error", error="rate_limited", times=1)
            with pytest.raises(Exception, match="429"):
                client.complete("What is 1 + 1?")
            assert client.complete("What is 12 + 30?", temperature=0).answer == "42"
            assert [one.status for one in phi_journal.wait_for(2)] == [429, 200]
            seen.add((phi_emulator.endpoint, phi_emulator.key))

        def test_one_place_and_a_key_for_each():
            assert len({endpoint for endpoint, _ in seen}) == 1
            assert len({key for _, key in seen}) == 3
        """
    ).assert_outcomes(passed=4)


def test_a_client_that_may_not_outlive_its_test_is_refused_after_it(run_tests: RunTests) -> None:
    run_tests(
        """
        import functools
        import pytest
        from phi_client import AuthenticationError, PhiClient

        @functools.cache
        def client():
            return PhiClient()

        def test_first(phi_emulator):
            assert client().complete("What is 12 + 30?", temperature=0).answer == "42"

        def test_second(phi_emulator, phi_journal):
            with pytest.raises(AuthenticationError):
                client().complete("What is 12 + 30?")
        """,
        "-o",
        "phi_outliving=refuse",
    ).assert_outcomes(passed=2)


def test_a_fault_of_one_test_is_no_business_of_the_next(run_tests: RunTests) -> None:
    run_tests(
        """
        from phi_client import PhiClient

        def test_first(phi_faults):
            phi_faults.add("error", error="rate_limited")

        def test_second(phi_emulator, phi_faults):
            assert phi_faults.counts() == []
            with phi_emulator.client(max_retries=0) as client:
                assert client.complete("What is 12 + 30?", temperature=0).answer == "42"
        """
    ).assert_outcomes(passed=2)


def test_async_clients_foreign_ones_and_those_with_a_token_are_of_the_test(run_tests: RunTests) -> None:
    run_tests(
        """
        import asyncio
        import os

        import openai
        import pytest
        from azure.core.credentials import AzureKeyCredential
        from azure.ai.inference import ChatCompletionsClient
        from azure.identity import ManagedIdentityCredential
        from phi_client import PhiClient

        QUESTION = {"messages": [{"role": "user", "content": "What is 12 + 30?"}], "max_tokens": 5}

        def test_async(phi_emulator, phi_journal):
            async def ask():
                async with phi_emulator.async_client() as client:
                    return (await client.complete("What is 12 + 30?", temperature=0)).answer
            assert asyncio.run(ask()) == "42"
            assert len(phi_journal.wait_for(1)) == 1

        def test_openai(phi_emulator, phi_journal, phi_faults):
            phi_faults.add("error", error="rate_limited")
            client = openai.OpenAI(
                base_url=phi_emulator.endpoint_of("openai_v1"), api_key=phi_emulator.key, max_retries=0
            )
            with client, pytest.raises(openai.RateLimitError):
                client.chat.completions.create(model="phi", **QUESTION)
            [exchange] = phi_journal.wait_for(1)
            assert exchange.fault["effect"] == "error"

        def test_azure(phi_emulator, phi_journal):
            with ChatCompletionsClient(phi_emulator.endpoint, AzureKeyCredential(os.environ["PHI_API_KEY"])) as client:
                client.complete(**QUESTION)
            assert len(phi_journal.wait_for(1)) == 1

        def test_a_token(phi_emulator, phi_journal, monkeypatch):
            monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", phi_emulator.entra_url)
            with ManagedIdentityCredential() as credential, PhiClient(credential=credential) as client:
                client.complete("What is 12 + 30?", temperature=0)
            assert "/chat/completions" in [one.path for one in phi_journal.wait_for(1)][-1]
        """
    ).assert_outcomes(passed=4)


def test_what_is_asked_for_while_a_test_runs_is_there_too(run_tests: RunTests) -> None:
    run_tests(
        """
        import os
        import unittest
        import pytest

        def test_it(request):
            emulator = request.getfixturevalue("phi_emulator")
            assert os.environ["PHI_API_KEY"] == emulator.key

        def test_after():
            assert "PHI_API_KEY" not in os.environ

        def test_once_more(request):
            request.getfixturevalue("phi_emulator")
            assert "PHI_API_KEY" in os.environ

        kept = []

        @pytest.fixture(scope="session")
        def keeper(phi_emulator):
            return phi_emulator

        def test_keep(keeper):
            kept.append(keeper)

        def test_kept(request):
            assert request.getfixturevalue("keeper").endpoint == os.environ["PHI_ENDPOINT"]

        def test_a_name_is_enough_for_its_turn():
            assert kept[0].key == os.environ["PHI_API_KEY"]

        @pytest.mark.usefixtures("phi_emulator")
        class TestCase(unittest.TestCase):
            def test_it(self):
                assert os.environ["PHI_ENDPOINT"].startswith("http://127.0.0.1:")

        class TestOther(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def use(self, phi_emulator):
                self.emulator = phi_emulator
            def test_it(self):
                assert os.environ["PHI_ENDPOINT"] == self.emulator.endpoint

        def code():
            '''
            >>> getfixture("phi_emulator").endpoint == os.environ["PHI_ENDPOINT"]
            True
            '''
        """,
        "--doctest-modules",
    ).assert_outcomes(passed=9)


def test_time_that_would_not_be_virtual_is_said(run_tests: RunTests) -> None:
    result = run_tests("def test_it(request, phi_emulator): request.getfixturevalue('phi_clock')")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*PhiFixtureError: this test goes by the real time: name `phi_clock` among*"]
    )


def test_a_failure_tells_the_exchanges_of_the_test_without_secrets(run_tests: RunTests) -> None:
    result = run_tests(
        """
        def test_before(phi_emulator):
            with phi_emulator.client() as client:
                client.complete("What is 3 + 4?", temperature=0)

        def test_it(phi_emulator, phi_faults):
            phi_faults.add("error", error="rate_limited", times=1)
            print("key", phi_emulator.key)
            with phi_emulator.client(max_retries=0) as client:
                client.complete("What is 12 + 30?")
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    told = result.stdout.str().partition("Phi exchanges call")[2]
    assert "POST /chat/completions: 429" in told
    assert "error error=rate_limited" in told
    assert told.count("POST ") == 1
    [key] = [line.split()[1] for line in result.outlines if line.startswith("key ")]
    assert result.stdout.str().count(key) == 1
    assert "12 + 30" not in told


def test_a_model_that_there_is_not_is_said_once_for_each_test_and_tried_once(run_tests: RunTests) -> None:
    result = run_tests(
        """
        def test_one(phi_emulator): pass
        def test_two(phi_emulator): pass
        def test_other(): pass
        """,
        "--phi-model=no-such-model",
    )
    result.assert_outcomes(errors=2, passed=1)
    result.stdout.fnmatch_lines(["*the emulator for tests can't be started: *no-such-model*"])


def test_without_the_extra_a_fixture_says_what_to_install(
    run_tests: RunTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phi_emulator.cli._NEEDED", ("starlette", "a_package_that_is_not_there"))
    result = run_tests("def test_it(phi_emulator): pass\ndef test_other(): pass")
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(
        ['*needs a_package_that_is_not_there*python -m pip install "phi-client?emulator?"*']
    )


@pytest.mark.parametrize("setting", ["phi_outliving", "phi_unused", "phi_record"])
def test_a_setting_that_there_is_not_is_said(run_tests: RunTests, setting: str) -> None:
    result = run_tests("def test_it(phi_emulator): pass", "-o", f"{setting}=sometimes")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*`{setting}` 'sometimes' is none of *"])
