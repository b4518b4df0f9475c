"""The pytest plugin: fixtures `testbed` and `sandbox`, and a failing test's transcript in its report.

`--portyard-url` (or PORTYARD_URL) names a running testbed; without it one is embedded, per worker under xdist.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from portyard.testing.sandbox import Sandbox
    from portyard.testing.testbed import Testbed

_SANDBOX: pytest.StashKey[Sandbox] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--portyard-url`."""
    group = parser.getgroup("portyard")
    group.addoption(
        "--portyard-url",
        default=os.environ.get("PORTYARD_URL", ""),
        help="the console of a running testbed, e.g. http://127.0.0.1:8025; without it one is embedded",
    )


@pytest.fixture(scope="session")
def testbed(request: pytest.FixtureRequest) -> Iterator[Testbed]:
    """A testbed for the whole run: the one that `--portyard-url` names, or an embedded one."""
    from portyard.testing.testbed import Testbed

    url = request.config.getoption("--portyard-url")
    running = Testbed.connect(url) if url else Testbed.embedded()
    with running:
        yield running


@pytest.fixture
def sandbox(testbed: Testbed, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox of this test's own; when the test fails, its transcript is in the report."""
    with testbed.own_sandbox() as own:
        request.node.stash[_SANDBOX] = own
        yield own


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the transcript of a test that failed while its sandbox still stands."""
    report = yield
    own = item.stash.get(_SANDBOX, None)
    if report.when == "call" and report.failed and own is not None:
        report.sections.append(("portyard transcript", _transcript(own)))
    return report


def _transcript(own: Sandbox) -> str:
    try:
        return own.transcript() or "(no session joined this test's sandbox)"
    except Exception as error:  # the report of the test matters more than the transcript's
        return f"(the transcript can't be had: {error})"
