"""`portyard rules`: what the testbed is to do wrong, and how often it did."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from portyard.cli import completion
from portyard.cli.engines import MistakeError
from portyard.cli.flags import Commands
from portyard.cli.link import (
    CREATE,
    DEFAULT,
    DELETE,
    AsJson,
    Link,
    SandboxName,
    Url,
    examples,
    goes_on,
    inherited,
    linked,
    named,
)
from portyard.cli.screen import errors, printable, say, table, write_json
from portyard.commons.given_twice import GivenTwiceError, read_json, twice_in_toml

app = Commands(
    invoke_without_command=True,
    help="List the rules with their hits; or add some, remove some.",
    epilog=examples(
        "portyard rules",
        "portyard rules create --on smtp.rcpt --refuse '451 4.7.1 try again later' --times 2",
        "portyard rules create greylist.toml",
        "portyard rules clear",
    ),
)

File = Annotated[
    str | None,
    typer.Argument(
        metavar="FILE.toml|-",
        help="TOML with tables named rule, or JSON; - reads standard input.",
        show_default=False,
    ),
]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="ROOM.VERB",
        help="What it listens to: smtp.rcpt, imap.fetch, http.request, ftp.* …",
        autocompletion=completion.verbs,
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="FIELD=PATTERN",
        help="Only such events: a glob, /regular expression/, or < and > with numbers; may be given again.",
        autocompletion=completion.fields,
    ),
]
Name = Annotated[str | None, typer.Option(help="What hits are told under.")]
Times = Annotated[int | None, typer.Option(help="So often, then it is spent.", rich_help_panel="How often")]
Skip = Annotated[int | None, typer.Option(help="Let so many pass first.", rich_help_panel="How often")]
Every = Annotated[int | None, typer.Option(help="Only every so many.", rich_help_panel="How often")]
Chance = Annotated[float | None, typer.Option(help="Only with this chance, from 0 to 1.", rich_help_panel="How often")]
Per = Annotated[
    str | None,
    typer.Option(
        help="Count for each session, peer or account by itself.",
        rich_help_panel="How often",
        autocompletion=completion.scopes,
    ),
]
_THEN = "What is done (several go together)"
Refuse = Annotated[
    str | None, typer.Option(metavar="REPLY", help="It fails, and both sides know.", rich_help_panel=_THEN)
]
Say = Annotated[
    str | None,
    typer.Option("--say", metavar="REPLY", help="It is done, and the answer lies.", rich_help_panel=_THEN),
]
Silence = Annotated[bool, typer.Option("--silence", help="Nothing more is answered.", rich_help_panel=_THEN)]
HangUp = Annotated[bool, typer.Option("--hang-up", help="The connection is closed instead.", rich_help_panel=_THEN)]
Delay = Annotated[str | None, typer.Option(metavar="TIME", help="The answer waits: 150ms, 2s …", rich_help_panel=_THEN)]
Tls = Annotated[
    str | None,
    typer.Option(
        metavar="RECIPE",
        help="A certificate or demand: expired, tls13_only …",
        rich_help_panel=_THEN,
        autocompletion=completion.recipes,
    ),
]
Then = Annotated[
    str | None,
    typer.Option(
        metavar="JSON",
        help="""Anything else: '{"reset": true}', '{"latency": {"delay_s": 0.2}}' …""",
        rich_help_panel=_THEN,
    ),
]


@app.callback()
def listed(
    context: typer.Context,
    as_json: AsJson = False,
    sandbox: SandboxName = DEFAULT,
    url: Url = None,
) -> None:
    """List the rules with their hits; or add some, remove some."""
    if goes_on(context, (sandbox, url)):
        return
    with linked(url) as link:
        found = link.control.get(_path(link, sandbox))
    if as_json:
        write_json(found)
    elif found:
        _show(found)
    else:
        errors.print("no rules")


def _path(link: Link, sandbox: str) -> str:
    return f"{link.path(sandbox)}/rules"


def _show(rules: list[dict[str, Any]]) -> None:
    rows = [
        (
            rule["id"],
            rule["name"] or "-",
            rule["on"],
            " ".join(f"{field}={value}" for field, value in rule["where"].items()) or "-",
            _hits(rule),
            rule["matched"],
            _then(rule["then"]),
        )
        for rule in rules
    ]
    table(("id", "name", "on", "where", "hits", "matched", "then"), rows, giving="then", right=("hits", "matched"))
    for rule in rules:
        _warn(rule)


def _warn(rule: dict[str, Any]) -> None:
    for warning in rule["warnings"]:
        errors.print(Text(f"rule {rule['id']}: {printable(warning)}", style="yellow"), soft_wrap=True)


def _hits(rule: dict[str, Any]) -> str:
    if rule["times"] is None:
        return str(rule["hits"])
    return f"{rule['hits']} of {rule['times']}" + (", spent" if rule["spent"] else "")


def _then(then: object) -> str:
    return json.dumps(then, ensure_ascii=False)


@named(
    app,
    *CREATE,
    epilog=examples(
        "portyard rules create --on smtp.rcpt --where 'recipient=*@slow.test' --refuse '451 4.7.1 later' --times 2",
        "portyard rules create --on imap.fetch --hang-up --times 1",
        "portyard rules create --on http.connect --then '{\"reset\": true}'",
        "portyard rules create greylist.toml",
    ),
)
def create(
    context: typer.Context,
    file: File = None,
    on: On = None,
    where: Where = None,
    name: Name = None,
    refuse: Refuse = None,
    say_: Say = None,
    silence: Silence = False,
    hang_up: HangUp = False,
    delay: Delay = None,
    tls: Tls = None,
    then: Then = None,
    times: Times = None,
    skip: Skip = None,
    every: Every = None,
    chance: Chance = None,
    per: Per = None,
    sandbox: SandboxName = DEFAULT,
    url: Url = None,
) -> None:
    """Set rules: one by options, or those of a file, all or none."""
    sandbox, url = inherited(context, sandbox, url)
    actions = {
        "refuse": refuse,
        "say": say_,
        "silence": silence or None,
        "hang_up": hang_up or None,
        "delay": delay,
        "tls": tls,
    }
    counts = {"times": times, "skip": skip, "every": every, "chance": chance, "per": per, "name": name}
    with linked(url) as link:
        _one_or_the_other(file, on, where, then, *actions.values(), *counts.values())
        body = _read(file) if file is not None else _rule(on, where, actions, then, counts)
        added = link.control.post(_path(link, sandbox), body)
        for rule in added if isinstance(added, list) else [added]:
            say(f"rule {rule['id']}: {rule['on']} → {_then(rule['then'])}")
            _warn(rule)


def _one_or_the_other(file: object, *options: object) -> None:
    given = any(value is not None for value in options)
    if (file is None) is not given:
        raise MistakeError("give a file or --on with what is to be done; see: portyard rules create --help")


def _rule(
    on: str | None,
    where: list[str] | None,
    actions: dict[str, Any],
    then: str | None,
    counts: dict[str, Any],
) -> dict[str, Any]:
    if on is None:
        raise MistakeError("give --on, such as --on smtp.rcpt")
    done: Any = {name: value for name, value in actions.items() if value is not None}
    if then is not None:
        try:
            more = read_json(then)
        except GivenTwiceError as error:
            raise MistakeError(f"--then: {error}") from None
        except (ValueError, RecursionError) as error:
            raise MistakeError(f"--then isn't JSON: {error}") from None
        done = {**done, **more} if isinstance(more, dict) else more
    fields: dict[str, str] = {}
    for each in where or []:
        field, equals, pattern = each.partition("=")
        if not equals:
            raise MistakeError(f"--where {each!r}: expected FIELD=PATTERN, such as recipient=*@slow.test")
        fields[field.strip()] = pattern
    rule = {"on": on, "then": done, **({"where": fields} if fields else {})}
    return rule | {name: value for name, value in counts.items() if value is not None}


def _read(file: str) -> Any:  # noqa: ANN401 - JSON values
    """A file's rules: TOML, or JSON by its name or its first character."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        if file.endswith(".json") or text.lstrip()[:1] == "{":
            return read_json(text, "rule")
        return tomllib.loads(text)
    except OSError as error:
        raise MistakeError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise MistakeError(f"{file}: not UTF-8: {error.reason}") from None
    except tomllib.TOMLDecodeError as error:
        raise MistakeError(f"{file}: {twice_in_toml(text) or f'not TOML: {error}'}") from None
    except GivenTwiceError as error:
        raise MistakeError(f"{file}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise MistakeError(f"{file}: not JSON: {error}") from None


@named(app, *DELETE, epilog=examples("portyard rules delete 3 4", "portyard rules delete greylist"))
def delete(
    context: typer.Context,
    rules: Annotated[
        list[str],
        typer.Argument(
            metavar="ID|NAME…", help="The ids or names that the list shows.", autocompletion=completion.rules
        ),
    ],
    sandbox: SandboxName = DEFAULT,
    url: Url = None,
) -> None:
    """Remove rules by their ids or names."""
    sandbox, url = inherited(context, sandbox, url)
    with linked(url) as link:
        for rule in rules:
            link.control.delete(link.path(sandbox, "rules", rule))
            say(f"rule {rule}: deleted")


@app.command(epilog=examples("portyard rules clear", "portyard rules clear --sandbox t1"))
def clear(context: typer.Context, sandbox: SandboxName = DEFAULT, url: Url = None) -> None:
    """Remove every rule of a sandbox."""
    sandbox, url = inherited(context, sandbox, url)
    with linked(url) as link:
        link.control.delete(_path(link, sandbox))
        say(f"sandbox {sandbox}: no rules any more")
