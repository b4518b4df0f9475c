"""Which testbed a run's `portyard_settings` reach: what they can't reach says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from multiprocessing import AuthenticationError
from typing import Any, cast

import pytest

from portyard.testing import Testbed
from portyard.testing.shared import Shared, ask

pytest_plugins = ["pytester"]
SETTINGS = """
    import pytest

    @pytest.fixture(scope="session")
    def portyard_settings():
        return {{"domains": ("{domain}",)}}
"""
TEST = """
    def test_{name}({fixture}, testbed):
        assert "{domain}" in testbed.control.get("sandboxes/default")["domains"]
"""


@pytest.fixture(scope="module", autouse=True)
def whole(testbed: Testbed) -> None:
    """All of it is imported before a pytester's test begins, which takes back what was imported in its time."""
    testbed.wait_until_open()
    with testbed.own_sandbox():
        pass


def folder(pytester: pytest.Pytester, name: str, settings: str, tests: str) -> None:
    pytester.makepyfile(**{f"{name}/conftest": settings, f"{name}/test_{name}": tests})


def test_settings_of_a_second_folder_are_refused_in_a_line(pytester: pytest.Pytester) -> None:
    for name in ("east", "same", "west"):
        domain = f"{name.replace('same', 'east')}.example"
        tests = TEST.format(name=f"{name}_1", domain=domain, fixture="request")
        tests += TEST.format(name=f"{name}_2", domain=domain, fixture="sandbox")
        folder(pytester, name, SETTINGS.format(domain=domain), tests)
    own = """
    from portyard.testing import Testbed

    @pytest.fixture(scope="package")
    def testbed(portyard_settings):
        with Testbed.embedded(**portyard_settings) as running:
            yield running
    """
    tests = TEST.format(name="own", domain="own.example", fixture="sandbox")
    folder(pytester, "xown", SETTINGS.format(domain="own.example") + own, tests)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--import-mode=importlib", "-rE")
    result.assert_outcomes(passed=5, errors=2)
    result.stdout.fnmatch_lines(
        ["*portyard_settings = {'domains': ('west.example',)}: the run's one testbed was started with {*east*"]
    )


def test_settings_cannot_reach_a_testbed_that_runs(pytester: pytest.Pytester, testbed: Testbed) -> None:
    for name in ("east", "west"):
        folder(pytester, name, SETTINGS.format(domain=f"{name}.example"), "def test_any(sandbox): pass")
    url = testbed.control.url
    given = ("-p", "no:cacheprovider", "--import-mode=importlib", "--portyard-url", url)
    result = pytester.runpytest_subprocess(*given)
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(
        [f"*portyard_settings (domains) are for a testbed that the run starts; the one at {url} *"]
    )


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["alone", "with a worker"])
def test_a_testbed_that_runs_goes_before_an_image(
    pytester: pytest.Pytester, testbed: Testbed, options: tuple[str, ...]
) -> None:
    pytester.makepyfile(f"def test_any(testbed): assert testbed.control.url == {testbed.control.url!r}")
    chosen = ("--portyard-url", testbed.control.url, "--portyard-image", "portyard:none")
    pytester.runpytest_subprocess("-p", "no:cacheprovider", *chosen, *options).assert_outcomes(passed=1)


class Started:
    """A testbed that was started, as far as the controller knows of one."""

    def __init__(self, settings: dict[str, Any]) -> None:
        if settings.get("capture") == "some":
            raise pytest.UsageError("capture = 'some'")
        self.settings = settings
        self.control = self
        self.url, self.inside = f"http://127.0.0.1:{settings.get('port', 8025)}", False
        self.closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def started() -> list[Started]:
    return []


@pytest.fixture
def shared(started: list[Started]) -> Iterator[Shared]:
    def start(settings: dict[str, Any]) -> Testbed:
        started.append(Started(settings))
        return cast("Testbed", started[-1])

    running = Shared(start)
    yield running
    running.close()
    assert all(each.closed for each in started)


def test_one_testbed_is_started_for_each_of_the_settings(shared: Shared, started: list[Started]) -> None:
    told: list[str] = []
    asked: list[dict[str, object]] = [{}, {"port": 1, "domains": ("a.test",)}, {"domains": ["a.test"], "port": 1}] * 3
    workers = [threading.Thread(target=lambda each=each: told.append(ask(shared.word, each)["url"])) for each in asked]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(told) == ["http://127.0.0.1:1"] * 6 + ["http://127.0.0.1:8025"] * 3
    assert sorted(map(str, (each.settings for each in started))) == ["{'domains': ['a.test'], 'port': 1}", "{}"]


def test_what_cannot_be_started_is_told_to_every_worker(shared: Shared, started: list[Started]) -> None:
    for _ in range(2):
        assert ask(shared.word, {"capture": "some"}) == {"error": "capture = 'some'"}
    assert ask(shared.word, {}) == {"url": "http://127.0.0.1:8025", "inside": False}
    assert len(started) == 1


def test_a_stranger_is_told_nothing_and_keeps_nobody_from_asking(shared: Shared, started: list[Started]) -> None:
    with pytest.raises(AuthenticationError):
        ask({**shared.word, "key": b"guessed"}, {})
    assert not started
    assert ask(shared.word, {})["inside"] is False
