"""Pages for people: everything escaped, nothing fetched, a message's HTML in a frame that can do nothing."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import jinja2
import pytest
from yarl import URL

from portyard.console import pages
from tests.support.asyncio_tests import run
from tests.support.console import RICH, console, speak

NASTY = "<script>alert('x')</script>"


def test_the_first_page(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            page, _ = await client.page("/")
            assert "No mail yet" in page
            key = await client.deliver(NASTY, sender=f"{NASTY}@x.test")
            page, response = await client.page("/")
            assert "<script" not in page
            assert "&lt;script&gt;alert" in page
            assert f'href="/sandboxes/default/messages/{key}"' in page
            assert f"127.0.0.1:{client.served.port('console')}" in page
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'")
            assert "unsafe" not in policy
            assert response.headers["X-Frame-Options"] == "DENY"
            assert "http://" not in page
            assert "https://" not in page
            _, style = await client.page("/style.css")
            assert style.content_type == "text/css"

    run(main())


def test_a_messages_html_is_framed_and_powerless(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            key = await client.put(RICH)
            page, _ = await client.page(f"/sandboxes/default/messages/{key}")
            assert "alert(1)" not in page
            assert '<iframe sandbox=""' in page
            assert "Grüße &amp; &lt;b&gt;" in page
            assert "../../€ report.pdf" in page
            html, response = await client.page(f"/sandboxes/default/messages/{key}/html")
            assert html.startswith("<p>Hello</p>")
            policy = [part.strip() for part in response.headers["Content-Security-Policy"].split(";")]
            assert "sandbox" in policy
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'self'" in policy
            assert not any(part.startswith(("script-src", "sandbox allow")) for part in policy)

    run(main())


@pytest.mark.parametrize(
    "path", ["/sandboxes/nope", "/sandboxes/default/messages/1", "/sandboxes/default/sessions/1", "/no"]
)
def test_what_is_not_there(tmp_path: Path, path: str) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.page(path, 404)

    run(main())


def test_a_path_that_is_not_there_tells_where_paths_are(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            for path in ("/no", "/api/v1/sandboxes/default/mesages"):
                told, _ = await client.page(path, 404)
                assert "a path that /api/v1/openapi.json describes" in told
            assert '"paths"' in (await client.page("/api/v1/openapi.json"))[0]

    run(main())


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("path", "detail", "back"),
    [
        ("/sandboxes/default/messages/7", "no message 7 in sandbox default", "/sandboxes/default"),
        ("/sandboxes/default/messages/7/html", "no message 7 in sandbox default", "/sandboxes/default"),
        ("/sandboxes/default/sessions/%3Cb%3E", "no session &lt;b&gt; in sandbox default", "/sandboxes/default"),
        ("/sandboxes/gone", "no sandbox gone", "/"),
        ("/sandboxes/gone/sessions/1", "no sandbox gone", "/"),
        ("/nowhere", "/nowhere: there is no such page", "/"),
    ],
)
def test_a_browser_is_shown_that_something_is_gone(tmp_path: Path, path: str, detail: str, back: str) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            async with client.http.get(URL(client.url + path, encoded=True), headers=BROWSER) as response:
                page = await response.text()
                assert (response.status, response.content_type) == (404, "text/html")
                assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert f"<p>{detail}" in page
            assert f'<a href="{back}">Back to' in page
            async with client.http.get(URL(client.url + path, encoded=True)) as response:
                assert (response.status, response.content_type) == (404, "application/problem+json")

    run(main())


def test_below_the_api_a_problem_is_a_problem_to_anybody(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.problem("GET", "sandboxes/gone", 404, headers=BROWSER)

    run(main())


def test_the_page_of_a_session_without_end_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "TALK_LIMIT", 10_000)

    async def main() -> None:
        async with console(tmp_path) as client:
            short, long = speak(client, "pop3", "STAT"), speak(client, "pop3", *["NOOP"] * 9_000)
            page, _ = await client.page(f"/sandboxes/default/sessions/{short.id}")
            assert "The talk goes on" not in page
            page, _ = await client.page(f"/sandboxes/default/sessions/{long.id}")
            assert "The talk goes on" in page
            assert 500 < page.count("C: NOOP") < 3_000

    run(main())


def test_a_message_with_nothing_in_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            for octets in (
                b"",
                b"\r\n",
                b"no header at all",
                b"\0\xff\r\n\r\n\xff",
                b"Content-Type: multipart/mixed\r\n\r\nx",
            ):
                key = await client.put(octets)
                await client.page(f"/sandboxes/default/messages/{key}")
                await client.get(f"sandboxes/default/messages/{key}")
            await client.page("/")

    run(main())


def test_others_are_answered_while_the_page_of_a_long_session_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, answered = threading.Event(), threading.Event()
    true = jinja2.Template.render

    def renders(template: jinja2.Template, *given: Any) -> str:
        begun.set()
        assert answered.wait(60), "nobody else was answered meanwhile"
        return true(template, *given)

    monkeypatch.setattr(jinja2.Template, "render", renders)

    async def main() -> None:
        async with console(tmp_path) as client:
            log = speak(client, "pop3", *["NOOP"] * 3_000)
            asking = asyncio.create_task(client.page(f"/sandboxes/default/sessions/{log.id}"))
            while not begun.is_set():
                await client.get("sandboxes/default/rules")
            await client.get("sandboxes/default/rules")
            answered.set()
            page, response = await asking
            assert page.count("NOOP") == 3_000
            assert response.headers["Content-Type"] == "text/html; charset=utf-8"

    run(main())
