"""The index page and the machine's description of the same routes."""

from __future__ import annotations

import re
from html import escape

from aiohttp import web

from portyard.commons.hosted_requests import prefix_of
from portyard.http.routes.common import Group, Handle, get, json_answer, text_answer

_BRACES = re.compile(r"\{(\w+)(?::[^}]*)?\}")  # a path's variables in aiohttp's notation

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --accent: #0a7d8c }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } h2 { margin: 2rem 0 .3rem; font-size: 1.1rem; color: var(--accent) }
table { width: 100%; border-collapse: collapse } td { padding: .3rem .6rem .3rem 0; border-top: 1px solid var(--line) }
td:first-child { width: 9rem; font-size: .8rem; opacity: .75 } td:nth-child(2) { width: 24rem }
code { font-size: .9rem } a { color: inherit }
"""


def index_of(groups: tuple[Group, ...]) -> Handle:
    """A handler that shows the routes to people."""
    sections = "".join(
        f"<section><h2>{escape(group.title)}</h2><table>{''.join(_row(route.methods, route.path, route.summary) for route in group.routes)}"
        "</table></section>\n"
        for group in groups
    )
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Portyard: HTTP</title><style>{_STYLE}</style></head>\n'
        "<body><h1>Portyard, the HTTP room</h1>\n<p>Requests are mirrored, answers are made to order. Nothing here ever fetches a URL. "
        'The same list for machines: <a href="/spec.json"><code>/spec.json</code></a>.</p>\n'
        f"{sections}</body></html>\n"
    )

    async def index(request: web.Request) -> web.Response:
        return text_answer(page.replace('href="/', f'href="{escape(prefix_of(request))}/'), "text/html")

    return index


def _row(methods: tuple[str, ...], path: str, summary: str) -> str:
    shown = _BRACES.sub(r"{\1}", path)
    text = f"<code>{escape(shown)}</code>"
    if "GET" in methods and "{" not in path:
        text = f'<a href="{escape(shown)}">{text}</a>'
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(summary))
    return f"<tr><td>{' '.join(methods)}</td><td>{text}</td><td>{marked}</td></tr>\n"


def spec_of(groups: tuple[Group, ...]) -> Handle:
    """A handler that describes the routes to machines (OpenAPI 3.1)."""
    paths: dict[str, dict[str, object]] = {}
    for group in groups:
        for route in group.routes:
            operations = paths.setdefault(_BRACES.sub(r"{\1}", route.path), {})
            for method in route.methods:
                operations[method.lower()] = {
                    "summary": route.summary,
                    "tags": [group.title],
                    "parameters": [
                        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                        for name in _BRACES.findall(route.path)
                    ],
                    "responses": {"default": {"description": "As the summary says."}},
                }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Portyard: HTTP", "version": "1", "description": "Requests mirrored, answers made to order."},
        "paths": paths,
    }

    async def spec(request: web.Request) -> web.Response:
        return json_answer(document)

    return spec


def with_index(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """The groups and before them the two routes that list them all."""
    whole: list[Group] = []

    async def index(request: web.Request) -> web.StreamResponse:
        return await pages[0](request)

    async def spec(request: web.Request) -> web.StreamResponse:
        return await pages[1](request)

    own = Group("This list", (get("/", index, "This page."), get("/spec.json", spec, "The same for machines.")))
    whole = [*groups, own]
    pages = (index_of(tuple(whole)), spec_of(tuple(whole)))
    return tuple(whole)
