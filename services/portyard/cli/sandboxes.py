"""`portyard sandboxes` and `portyard reset`."""

from __future__ import annotations

from typing import Annotated

import typer

from portyard.cli import completion
from portyard.cli.flags import Commands
from portyard.cli.link import CREATE, DEFAULT, DELETE, AsJson, Url, examples, goes_on, linked, named
from portyard.cli.screen import fail, say, table, write_json
from portyard.commons.authority import authority
from portyard.testing.control import segment

app = Commands(
    invoke_without_command=True,
    help="List the sandboxes; or make one, lease it listeners, remove one.",
    epilog=examples(
        "portyard sandboxes",
        "portyard sandboxes create t1",
        "portyard sandboxes lease t1 imap",
        "portyard sandboxes delete t1",
    ),
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits and hyphens.")]
There = Annotated[str, typer.Argument(metavar="NAME", help="One that is there.", autocompletion=completion.sandboxes)]


@app.callback()
def listed(
    context: typer.Context,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List the sandboxes; or make one, lease it listeners, remove one."""
    if goes_on(context, url):
        return
    with linked(url) as link:
        found = link.control.get("sandboxes")
    if as_json:
        write_json(found)
        return
    rows = [
        (
            each["name"],
            ", ".join(each["domains"]),
            each["capture"],
            "on" if each["magic"] else "off",
            each["generation"],
        )
        for each in found
    ]
    table(("name", "domains", "capture", "magic", "generation"), rows, giving="domains", right=("generation",))


@named(
    app,
    *CREATE,
    epilog=examples(
        "portyard sandboxes create t1", "portyard sandboxes create shop --domain shop.example --capture own"
    ),
)
def create(
    context: typer.Context,
    name: Name,
    capture: Annotated[str | None, typer.Option(help="any: mail for everybody is taken; own: a strict server.")] = None,
    domain: Annotated[
        list[str] | None, typer.Option(help="A domain that it owns beside NAME.test; may be given again.")
    ] = None,
    default_password: Annotated[str | None, typer.Option(help="Of accounts that capture makes.")] = None,
    magic: Annotated[
        bool, typer.Option("--magic", help="Hear magic words in addresses, paths and file names.")
    ] = False,
    url: Url = None,
) -> None:
    """Make a sandbox."""
    body = {
        "name": name,
        "capture": capture,
        "domains": domain,
        "default_password": default_password,
        "magic": magic or None,
    }
    with linked(url or context.obj) as link:
        made = link.control.post("sandboxes", {key: value for key, value in body.items() if value is not None})
    say(f"sandbox {made['name']}: owns {', '.join(made['domains'])}, capture {made['capture']}")


@app.command(epilog=examples("portyard sandboxes lease t1 imap", "portyard sandboxes lease t1 imap --give-back"))
def lease(
    context: typer.Context,
    name: There,
    service: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE",
            help="mta, msa, mda, pop3, imap, ftp, ssh, http …",
            autocompletion=completion.leasable,
        ),
    ],
    give_back: Annotated[bool, typer.Option("--give-back", help="Close them instead.")] = False,
    url: Url = None,
) -> None:
    """Open listeners for a sandbox alone: who connects there is in it before a word is said."""
    path = f"sandboxes/{segment(name)}/leases"
    with linked(url or context.obj) as link:
        if give_back:
            link.control.delete(f"{path}/{segment(service)}")
            say(f"sandbox {name}: gave back its listeners of {service}")
            return
        made = link.control.post(path, {"service": service})
    rows = [(each["port"], authority(each["host"], each["host_number"]), each["tls"]) for each in made["endpoints"]]
    table(("port", "address", "TLS"), rows, giving="address")


@named(app, *DELETE, epilog=examples("portyard sandboxes delete t1"))
def delete(context: typer.Context, name: There, url: Url = None) -> None:
    """Remove a sandbox with all that it owns."""
    with linked(url or context.obj) as link:
        link.control.delete(f"sandboxes/{segment(name)}")
    say(f"sandbox {name}: deleted")


def reset(
    sandbox: Annotated[
        str | None,
        typer.Argument(
            metavar="SANDBOX",
            help="Which one. (default: default)",
            show_default=False,
            autocompletion=completion.sandboxes,
        ),
    ] = None,
    option: Annotated[
        str | None,
        typer.Option(
            "--sandbox", "-s", metavar="NAME", help="The same, as elsewhere.", autocompletion=completion.sandboxes
        ),
    ] = None,
    url: Url = None,
) -> None:
    """Empty a sandbox: its mail, files, rules, journal and clock go; accounts and domains stay."""
    if sandbox is not None and option is not None and sandbox != option:
        fail(f"two sandboxes are named, {sandbox} and {option}; reset one after the other", 2)
    name = sandbox or option or DEFAULT
    with linked(url) as link:
        link.control.post(f"sandboxes/{segment(name)}/reset")
    say(f"sandbox {name}: empty")
