"""The pytest plugin: fixtures `testbed` and `sandbox`, and a failing test's transcript in its report.

`--portyard-url` (or PORTYARD_URL) names a running testbed, `--portyard-image` starts one container that all xdist workers with the same
settings share; without either one testbed is embedded, per worker.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import sys
import warnings
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from portyard.testing.loggers import keep_steady
from portyard.testing.witness import Witness

if TYPE_CHECKING:
    from portyard.testing.sandbox import Sandbox
    from portyard.testing.shared import Shared
    from portyard.testing.testbed import Testbed

_WITNESS: pytest.StashKey[Witness] = pytest.StashKey()
_BEFORE: pytest.StashKey[Witness | None] = pytest.StashKey()  # the one of a run in whose midst this one goes on
_SHARED: pytest.StashKey[Shared] = pytest.StashKey()
_STARTED: pytest.StashKey[tuple[Testbed, dict[str, object]]] = (
    pytest.StashKey()
)  # this process's testbed, and the settings it has
_WORD = "portyard_shared"  # what the controller tells its workers


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose the testbed."""
    group = parser.getgroup("portyard")
    group.addoption(
        "--portyard-url",
        default=os.environ.get("PORTYARD_URL", ""),
        metavar="URL",
        help="the console of a running testbed, e.g. http://127.0.0.1:8025 (or PORTYARD_URL); without it one is embedded",
    )
    group.addoption(
        "--portyard-inside",
        action="store_true",
        help="with --portyard-url: the tests run in the containers' network, on addresses and standard ports",
    )
    group.addoption(
        "--portyard-image",
        default="",
        metavar="IMAGE",
        help="run the testbed as one container of this image, which all xdist workers share, e.g. portyard:local",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and begin to keep what tests' sandboxes do."""
    keep_steady()
    config.stash[_BEFORE], Witness.current = Witness.current, Witness()
    config.stash[_WITNESS] = Witness.current
    config.addinivalue_line(
        "markers", "portyard(capture=…, domains=…, default_password=…, magic=…): options of the test's sandbox"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - xdist's, which need not be installed
    """Under xdist the controller has the containers, and tells each worker how to ask for one."""
    config = node.config
    image = config.getoption("--portyard-image")
    if image and not config.getoption("--portyard-url"):
        if _SHARED not in config.stash:
            with _told_in_a_line(image):
                from portyard.testing.container import fetch

                fetch(image)
            from portyard.testing.shared import Shared

            config.stash[_SHARED] = Shared(lambda settings: _container(image, **settings))
        node.workerinput[_WORD] = config.stash[_SHARED].word


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what the controller started."""
    Witness.current = config.stash.get(_BEFORE, None)
    shared = config.stash.get(_SHARED, None)
    if shared is not None:
        shared.close()


@pytest.fixture(scope="session")
def portyard_settings() -> dict[str, object]:
    """Settings of the testbed that the run starts by itself; override it in conftest.py."""
    return {}


@pytest.fixture(scope="session")
def testbed(request: pytest.FixtureRequest, portyard_settings: dict[str, object]) -> Iterator[Testbed]:
    """A testbed for the whole run: the one that the options name, or an embedded one."""
    with _testbed(request.config, portyard_settings) as running:
        if not request.config.getoption("--portyard-url"):
            request.config.stash[_STARTED] = running, dict(portyard_settings)
        yield running


def _testbed(config: pytest.Config, settings: dict[str, object]) -> Testbed:
    from portyard.testing.testbed import Testbed

    word = getattr(config, "workerinput", {}).get(_WORD)
    token = os.environ.get("PORTYARD_TOKEN") or None
    if word is not None:
        from portyard.testing.shared import ask

        told = ask(word, settings)
        if "error" in told:
            raise pytest.UsageError(told["error"])
        return Testbed.connect(told["url"], str(settings.get("token", "")) or None, inside=told["inside"])
    if url := config.getoption("--portyard-url"):
        if settings:
            names = ", ".join(settings)
            text = f"portyard_settings ({names}) are for a testbed that the run starts; the one at {url} has its own"
            warnings.warn(pytest.PytestWarning(text), stacklevel=1)
        return _answering(Testbed.connect(url, token, inside=config.getoption("--portyard-inside")), url)
    if image := config.getoption("--portyard-image"):
        return _container(image, **settings)
    return Testbed.embedded(**settings)


def _container(image: str, **settings: object) -> Testbed:
    """One container of the image."""
    from portyard.testing.testbed import Testbed

    with _told_in_a_line(image):
        return Testbed.container(image, **settings)


@contextlib.contextmanager
def _told_in_a_line(image: str) -> Iterator[None]:
    """Have what is done with an image.

    Raises:
        pytest.UsageError: It can't be had, and why.
    """
    try:
        yield
    except Exception as error:
        raise pytest.UsageError(f"--portyard-image={image}: {type(error).__name__}: {error}") from error


def _answering(testbed: Testbed, url: str) -> Testbed:
    """The testbed, once it has said a word.

    Raises:
        ConnectionError: Nobody answers there.
    """
    try:
        _ = testbed.endpoints
    except (OSError, http.client.HTTPException) as error:  # nobody, or somebody else
        testbed.close()
        raise ConnectionError(f"no testbed answers at {url} ({error}); start one with: make up") from None
    return testbed


@pytest.fixture
def sandbox(testbed: Testbed, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox of this test's own; when the test or a fixture fails, its transcript is in the report."""
    marker = request.node.get_closest_marker("portyard")
    if marker is not None and marker.args:
        raise TypeError(f"@pytest.mark.portyard takes its options by their names, such as capture=; not {marker.args}")
    witness = request.config.stash[_WITNESS]
    own = testbed.sandbox(**(marker.kwargs if marker is not None else {}))
    witness.is_own(own)
    yield own
    witness.leaves(own)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(request: pytest.FixtureRequest) -> Generator[None, object, object]:
    """Hear of the sandboxes of whatever testbed a fixture gives: a project may have one of its own."""
    witness = request.config.stash[_WITNESS]
    before, witness.wide = witness.wide, request.scope != "function"
    try:
        given = yield
    finally:
        witness.wide = before
    kit = sys.modules.get("portyard.testing.testbed")
    if kit is not None and isinstance(given, kit.Testbed):
        witness.gives(given)
    return given


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Of what the test before did nobody asks any more, but for the sandboxes that this one has as well."""
    witness = item.config.stash[_WITNESS]
    witness.begin()
    witness.failing = lambda: bool(getattr(item, "_excinfo", None))  # unittest cleans up after the failure
    try:
        yield
    finally:
        kit = sys.modules.get("portyard.testing.sandbox")
        for given in (getattr(item, "funcargs", None) or {}).values():
            if kit is not None and isinstance(given, kit.Sandbox):
                witness.joins(given)
    _check_settings(item)


def _check_settings(item: pytest.Item) -> None:
    """Of two that override `portyard_settings`, each for some tests, the first has made the testbed.

    Raises:
        pytest.UsageError: This test's are others than the testbed has.
    """
    given = getattr(item, "funcargs", None) or {}
    started, settings = item.config.stash.get(_STARTED, (None, None))
    if started is not None and given.get("testbed") is started and given.get("portyard_settings") != settings:
        raise pytest.UsageError(
            f"portyard_settings = {given.get('portyard_settings')!r}: the run's one testbed was started with {settings!r}; "
            "override the fixture testbed beside them: with Testbed.embedded(**portyard_settings) as testbed: yield testbed"
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Delete the test's sandbox, once it is known whether a transcript is wanted."""
    failed = True
    try:
        yield
        failed = False
    finally:
        item.config.stash[_WITNESS].take_leave(failed=failed)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the transcripts of a test that failed."""
    witness = item.config.stash[_WITNESS]
    if call.excinfo is not None:
        # A traceback is parsed, and so is some of what rooms import: Python 3.11 can't do both at once (SystemError).
        witness.wait_until_open()
    report = yield
    if report.failed:
        report.sections += witness.sections()
    return report
