"""What the kit says of itself: its objects in a failing assertion, its errors out of another process, and warnings that are errors."""

from __future__ import annotations

import pickle
import smtplib
import warnings

import pytest

from portyard.testing import ControlError, NothingCameError, Sandbox, Testbed, UnseenWarning, services

pytest_plugins = ["pytester"]
LIMIT_S = 20
NOBODY = "tcp://127.0.0.1:1"


def send(sandbox: Sandbox, subject: str) -> None:
    with smtplib.SMTP(sandbox.smtp.host, sandbox.smtp.port, timeout=LIMIT_S) as client:
        client.sendmail("a@harbour.test", [f"mira@{sandbox.domain}"], f"Subject: {subject}\r\n\r\n")


def test_errors_come_out_of_another_process(sandbox: Sandbox) -> None:
    send(sandbox, "hello")
    sandbox.mail.wait(subject="hello", timeout=LIMIT_S)
    with pytest.raises(NothingCameError) as missed:
        sandbox.mail.wait_for(2, subject="/hell/", timeout=0)
    again = pickle.loads(pickle.dumps(missed.value))
    assert (type(again), str(again)) == (NothingCameError, str(missed.value))
    assert (again.near_misses, again.complete) == (missed.value.near_misses, missed.value.complete)
    assert missed.value.came, "here it is"
    assert not again.came
    with pytest.raises(ControlError) as refused:
        sandbox.smtp.refuse("451 later", on="rctp")
    told = pickle.loads(pickle.dumps(refused.value))
    assert (str(told), told.status, told.problem) == (str(refused.value), refused.value.status, refused.value.problem)


def test_a_testbed_that_was_closed_says_so() -> None:
    with Testbed.embedded() as testbed:
        sandbox = testbed.sandbox()
    for asks in (testbed.sandbox, sandbox.mail.all, sandbox.delete):
        with pytest.raises(ConnectionError, match="the testbed was closed"):
            asks()


def test_objects_tell_whose_they_are(sandbox: Sandbox) -> None:
    assert repr(sandbox) == f"<Sandbox {sandbox.name}>"
    assert repr(sandbox.smtp) == f"<Service mta of {sandbox.name}>"
    rule = sandbox.smtp.rule("rcpt", [{"delay": "1ms"}, {"refuse": "451 4.7.1 later"}], name="greylist", times=1)
    assert repr(rule) == f"Rule(id='{rule.id}', name='greylist')"
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(sandbox, "x")
    assert rule.hits == 1


def test_helpers_have_the_languages_fields(sandbox: Sandbox) -> None:
    service = sandbox.imap
    made = [
        service.delay("150ms", jitter_s="50ms", on="select"),
        service.delay(1.5, on="select"),
        service.latency("40ms", jitter_s=0.02),
        service.slice(5, variation=2, gap_s="1ms", direction="up"),
        service.stall(for_s="2s", after_octets=3),
        service.corrupt(octets=2, mask=1),
    ]
    assert len({rule.id for rule in made}) == len(made)
    assert [each["then"] for each in sandbox.rules()] == [
        {"delay": {"delay_s": 0.15, "jitter_s": 0.05}},
        {"delay": 1.5},
        {"latency": {"delay_s": 0.04, "jitter_s": 0.02}},
        {"slice": {"octets": 5, "variation": 2, "gap_s": 0.001, "direction": "up"}},
        {"stall": {"after_octets": 3, "for_s": 2.0}},
        {"corrupt": {"octets": 2, "mask": 1}},
    ]


def test_waits_give_all_that_fits_the_newest_message_and_the_oldest_event_first(sandbox: Sandbox) -> None:
    for subject in ("order 1", "order 2", "order 3"):
        send(sandbox, subject)
        sandbox.mail.wait(subject=subject, timeout=LIMIT_S)
    assert sandbox.mail.wait(subject="order", timeout=LIMIT_S).subject == "order 3"
    assert [each.subject for each in sandbox.mail.wait_for(2, subject="order")] == ["order 3", "order 2", "order 1"]
    greeted = sandbox.events.wait(2, kind="command", text="/^ehlo/", timeout=LIMIT_S)
    assert len(greeted) == 3
    assert greeted == sorted(greeted, key=lambda event: event["at"])


def test_a_warning_that_is_an_error_is_one_for_each_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "_warned", set())
    with warnings.catch_warnings(action="error"):
        for _ in range(2):
            with pytest.raises(UnseenWarning, match="unseen"):
                services._warn("unseen")
    with pytest.warns(UnseenWarning, match="unseen"):
        services._warn("unseen")
    with warnings.catch_warnings(action="error"):
        services._warn("unseen")


@pytest.mark.parametrize("url", ["https://127.0.0.1:8025", "ftp://127.0.0.1", "", "http://"])
def test_an_address_that_is_no_consoles_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"expected something like http://127\.0\.0\.1:8025"):
        Testbed.connect(url)


def test_somebody_else_at_the_address_is_told(pytester: pytest.Pytester, testbed: Testbed) -> None:
    smtp = testbed.default().smtp
    pytester.makepyfile("def test_any(sandbox): pass")
    url = f"http://{smtp.host}:{smtp.port}"
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--portyard-url", url)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*ConnectionError: no testbed answers at {url} (220 mta.*"])


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "with workers"])
def test_an_image_that_cannot_be_had_is_told_in_a_line(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", NOBODY)
    pytester.makepyfile("def test_any(sandbox): pass")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--portyard-image", "portyard:none", *options)
    said = result.stdout.str() + result.stderr.str()
    assert "--portyard-image=portyard:none: DockerException: " in said
    assert "INTERNALERROR" not in said
    assert result.ret == (pytest.ExitCode.USAGE_ERROR if options else pytest.ExitCode.TESTS_FAILED)
