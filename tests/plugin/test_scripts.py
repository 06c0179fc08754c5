"""Scripted answers of one test, and that what no rule is about fails it."""

from __future__ import annotations

from tests.plugin.conftest import RunTests


def test_a_test_says_what_it_is_answered_and_the_next_one_does_not_hear_of_it(run_tests: RunTests) -> None:
    run_tests(
        r"""
        from phi_client import PhiClient

        def ask(question):
            with PhiClient(max_retries=0) as client:
                return client.complete(question, temperature=0).answer

        def test_first(phi_script):
            phi_script.answer("Who are you?", r"\boxed{nobody}")
            assert ask("Who are you?") == "nobody"
            assert phi_script.counts()[0].answers == 1

        def test_second(phi_emulator):
            assert phi_emulator.script.counts() == []
            assert ask("What is 12 + 30?") == "42"
        """
    ).assert_outcomes(passed=2)


def test_an_unmatched_request_fails_a_test_that_swallows_the_error(run_tests: RunTests) -> None:
    result = run_tests(
        r"""
        import contextlib
        from phi_client import PhiClient, PhiError

        def test_it(phi_script):
            phi_script.answer("What is 6 * 7?", r"\boxed{42}")
            with contextlib.suppress(PhiError), PhiClient() as client:
                client.complete("What is 6 * 8?")
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*of 1 rule none is about turn 1*rule 1*differs from letter 13*", "*Phi exchanges call*"]
    )


def test_an_unmatched_request_of_a_fixtures_teardown_is_an_error(run_tests: RunTests) -> None:
    run_tests(
        r"""
        import contextlib
        import pytest
        from phi_client import PhiClient, PhiError

        @pytest.fixture
        def app(phi_script):
            yield
            with contextlib.suppress(PhiError), PhiClient() as client:
                client.complete("Goodbye")

        def test_it(app): pass
        """
    ).assert_outcomes(passed=1, errors=1)


def test_a_test_that_failed_already_fails_once_and_tells_what_went_unmatched(run_tests: RunTests) -> None:
    result = run_tests(
        r"""
        from phi_client import PhiClient

        def test_it(phi_script):
            with PhiClient() as client:
                client.complete("What is 6 * 8?")
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Phi unanswered call*", "*of 0 rules none is about turn 1*"])


def test_where_the_model_may_answer_nothing_fails(run_tests: RunTests) -> None:
    run_tests(
        r"""
        from phi_client import PhiClient

        def test_it(phi_script):
            phi_script.set([{"exact": "Who are you?", "answer": "nobody"}], miss="model")
            with PhiClient() as client:
                assert client.complete("What is 12 + 30?", temperature=0).answer == "42"
            assert len(phi_script.unmatched()) == 1
        """
    ).assert_outcomes(passed=1)


def test_a_rule_that_answers_nothing_fails_the_test_where_that_is_wanted(run_tests: RunTests) -> None:
    source = r"""
        def test_it(phi_script):
            phi_script.answer("Who are you?", "nobody")
        """
    run_tests(source).assert_outcomes(passed=1)
    result = run_tests(source, "-o", "phi_unused=fail")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*a rule of the script answered nothing: exact='Who are you?'*"])
