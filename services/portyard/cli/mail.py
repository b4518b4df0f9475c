"""`portyard mail`: list, show and wait for messages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from portyard.cli.engines import CommandError
from portyard.cli.flags import Commands
from portyard.cli.link import DEFAULT, AsJson, Link, SandboxName, Url, examples, goes_on, inherited, linked
from portyard.cli.screen import deliver, errors, fail, moment, printable, say, screen, table, write_json

app = Commands(
    invoke_without_command=True,
    help="List messages, newest first; or show one, save one, wait for some.",
    epilog=examples(
        "portyard mail --to alice --subject code",
        "portyard mail show last",
        "portyard mail raw last > message.eml",
        "portyard mail wait --subject 'your code' --timeout 10",
    ),
)

LAST = "last"
_PATTERN = "text within it, a glob, or /a regular expression/"
To = Annotated[str | None, typer.Option("--to", metavar="PATTERN", help=f"Any recipient: {_PATTERN}.")]
From = Annotated[str | None, typer.Option("--from", metavar="PATTERN", help="The sender, likewise.")]
Subject = Annotated[str | None, typer.Option("--subject", metavar="PATTERN", help="The subject, likewise.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The id that the list shows, or last for the newest.")]


@app.callback()
def listed(
    context: typer.Context,
    to: To = None,
    from_: From = None,
    subject: Subject = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    as_json: AsJson = False,
    sandbox: SandboxName = DEFAULT,
    url: Url = None,
) -> None:
    """List messages, newest first; or show one, save one, wait for some."""
    if goes_on(context, (sandbox, url)):
        return
    with linked(url) as link:
        found = link.control.get(link.path(sandbox, "messages"), to=to, from_=from_, subject=subject, limit=limit)
        _show_list(found, as_json=as_json)


def _show_list(messages: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        write_json(messages)
    elif messages:
        rows = [
            (m["id"], moment(m["received_at"]), m["from"] or "<>", ", ".join(m["to"]), m["size"], m["subject"])
            for m in messages
        ]
        table(("id", "received", "from", "to", "size", "subject"), rows, giving="subject", right=("size",))
    else:
        errors.print("no messages")


@app.command(epilog=examples("portyard mail show last"))
def show(
    context: typer.Context, message: Id, as_json: AsJson = False, sandbox: SandboxName = DEFAULT, url: Url = None
) -> None:
    """Show a message: its header, its text, what is attached, the links and codes in it."""
    sandbox, url = inherited(context, sandbox, url)
    with linked(url) as link:
        found = link.control.get(_place(link, sandbox, message))
    if as_json:
        write_json(found)
        return
    for header in found["headers"]:
        line = Text.assemble((f"{printable(header['name'])}: ", "cyan"), printable(header["value"]))
        screen.print(line, soft_wrap=True)
    body = found["text"] if found["text"] is not None else found["html"]
    say(f"\n{printable((body or '').replace(chr(13), ''))}")
    if found["text"] is not None and found["html"] is not None:
        _told("HTML", f"{len(found['html'])} characters beside the text; see them with --json")
    for part in found["attachments"]:
        _told("attached", f"{part['part']}  {part['filename'] or '(no name)'}  {part['type']}  {part['size']} octets")
    for link_found in found["links"]:
        _told("link", link_found)
    for code in found["codes"]:
        _told("code", code)
    if found["cut"]:
        _told("cut", "the text is longer than what is shown; see portyard mail raw")


def _place(link: Link, sandbox: str, message: str) -> str:
    """Where a message is in the API."""
    if message == LAST:
        newest = link.control.get(link.path(sandbox, "messages"), limit=1)
        if not newest:
            raise CommandError(f"sandbox {sandbox} has no messages yet; send one with: portyard send")
        message = newest[0]["id"]
    return link.path(sandbox, "messages", message)


def _told(title: str, text: str) -> None:
    screen.print(Text.assemble((f"{title:9} ", "green"), printable(text)), soft_wrap=True)


@app.command(epilog=examples("portyard mail raw last > message.eml", "portyard mail raw last --output message.eml"))
def raw(
    context: typer.Context,
    message: Id,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of standard output.")] = None,
    sandbox: SandboxName = DEFAULT,
    url: Url = None,
) -> None:
    """Write a message's octets as they came."""
    sandbox, url = inherited(context, sandbox, url)
    with linked(url) as link:
        deliver(link.control.raw(f"{_place(link, sandbox, message)}/raw"), output, binary=False)


@app.command(
    epilog=examples(
        "portyard mail wait --to alice --subject 'your code' --timeout 10",
        "portyard mail wait --count 3 --json",
        "portyard mail wait --from spam@ --count 0 --timeout 2      (succeeds when none comes)",
    )
)
def wait(
    context: typer.Context,
    to: To = None,
    from_: From = None,
    subject: Subject = None,
    count: Annotated[int, typer.Option(min=0, max=1000, help="So many; 0 waits the whole time for none to come.")] = 1,
    timeout: Annotated[float, typer.Option(min=0, max=300, help="Seconds.")] = 30.0,
    as_json: AsJson = False,
    sandbox: SandboxName = DEFAULT,
    url: Url = None,
) -> None:
    """Wait until so many messages fit; status 1 when they didn't come in time, with what came instead and why it missed."""
    sandbox, url = inherited(context, sandbox, url)
    with linked(url) as link:
        answer = link.control.get(
            f"{link.path(sandbox, 'messages')}/wait",
            timeout_s=timeout,
            to=to,
            from_=from_,
            subject=subject,
            count=count,
            timeout=timeout,
        )
    if as_json:
        write_json(answer)
    elif answer["messages"]:
        _show_list(answer["messages"], as_json=False)
    if answer["satisfied"]:
        return
    for miss in answer["near_misses"] if not as_json else ():
        told = f"missed: {miss['id']} from {miss['from'] or '<>'}, subject {miss['subject']!r}: {miss['because']}"
        errors.print(Text(printable(told), style="yellow"), soft_wrap=True)
    came = len(answer["messages"])
    if not answer.get("complete", True):
        errors.print(Text("there was no time to look through all that was there", style="yellow"), soft_wrap=True)
        if count == 0 and not came:
            fail("whether one was there is not known: give it longer")
    fail(f"{came} came, though none was to" if count == 0 else f"{came} of {count} came within {timeout:g} s")
