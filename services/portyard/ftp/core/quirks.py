"""How an FTP server may differ from ours: every deviation has a name and is off until a persona switches it on. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from portyard.commons.scenario.quirks import QuirkError, check_fields
from portyard.ftp.core.verbs import VOCABULARY

Line = Annotated[str, Meta(max_length=400, pattern=r"^[^\x00-\x1f\x7f]*\Z", description="One line.")]
Command = Annotated[str, Meta(pattern=r"^[A-Z]{3,8}\Z", description="A command in capitals, such as MLSD.")]
Feature = Literal[
    "AUTH TLS",
    "EPRT",
    "EPSV",
    "HOST",
    "MDTM",
    "MFMT",
    "MLST",
    "PASV",
    "PBSZ",
    "PROT",
    "REST STREAM",
    "SIZE",
    "TVFS",
    "UTF8",
]

# Beside the commands' verbs: what isn't one yet, SITE's own commands, and whatever has no reply of its own.
_PLACES = frozenset(VOCABULARY.verbs) | {"line", "site_chmod", "site_help", "site_umask", "*"}
_KEY = re.compile(r"(?P<place>[a-z_]+|\*)\.(?P<code>[1-5]\d\d)-?", re.ASCII)
_REPLY = re.compile(r"(?P<code>[1-5]\d\d)[ -]", re.ASCII)
# What FEAT may name goes by these commands (RFC 2389 §3.2); a feature whose command isn't known would be a lie.
_COMMAND_OF = {"AUTH TLS": "AUTH", "MLST": "MLST", "REST STREAM": "REST"}
_NO_COMMAND = frozenset({"TVFS", "UTF8"})
_FIELDS = ("text", "detail", "argument", "login", "type", "cwd", "path", "octets")


class Quirks(Struct, frozen=True, forbid_unknown_fields=True):
    """What a persona may say of FTP. Its texts may tell `$host`, `$peer`, `$session`, `$time`.

    Attributes:
        greeting: What follows 220; empty for ours.
        replies: Whole reply lines by `<verb>.<code>`, the verb as in rules (or `*`, `line`, `site_chmod` …), the code ours; the first
            line of several by `<verb>.<code>-`. The first digit stays: the text is another, the meaning isn't. `$text` is ours, `$detail`
            what stands in its parentheses, `$argument` the command's (never a password), `$path` what it names and `$octets` that
            file's, `$cwd` where the session is, `$login` whose it is, `$type` the representation.
        features: FEAT's lines in their order; None for ours.
        unknown: Commands that it doesn't know: 500.
        unimplemented: Commands that it knows and doesn't do: 502.
        before_login: Commands that it knows before the login; 530 for every other, known or not. None for ours.
        parting: Commands (of other protocols) that it answers by 500 and the end.
        status: The lines of STAT without a path; empty for ours. The same, and `$idle`, `$control`, `$data`.
        help_columns: HELP's commands in a row; 0 for ours.
        one_line_site_help: SITE HELP is one line.
        numeric_listing: LIST shows numbers for owner and group, and a size of eight columns.
        obeys_list_options: LIST and NLST obey -a (without it, names with a leading dot don't show), -r and -t.
        missing_lists_empty: LIST, NLST and STAT of what isn't there is an empty list.
        nlst_names_paths: NLST of a directory names its entries with the directory as it was given.
        ascii_is_binary: TYPE A is taken and converts nothing; SIZE counts octets.
        mdtm_sets_times: `MDTM YYYYMMDDHHMMSS path` sets a time.
        umask: Permission bits that new files and directories don't get, octal, and SITE UMASK is known; empty for ours.
        keeps_user: Who is logged in can't become another: USER gets 530, and PASS a 230 that does nothing.
        ignores_empty_lines: An empty line isn't answered.
        oops: An error of its own ends the session, with 500 and OOPS.
        session_reuse: As the setting of this name, for this persona; empty for the setting.
        login_needs_tls: Logins in plaintext are refused.
        data_needs_tls: Data connections in plaintext are refused: 522.
        login_delay_s: How late the answer to a wrong password comes; None for ours.
        idle_s: How long a session may be idle; 0 for ours.
    """

    greeting: Line = ""
    replies: dict[str, Line] = {}
    features: tuple[Feature, ...] | None = None
    unknown: tuple[Command, ...] = ()
    unimplemented: tuple[Command, ...] = ()
    before_login: tuple[Command, ...] | None = None
    parting: tuple[Command, ...] = ()
    status: tuple[Line, ...] = ()
    help_columns: Annotated[int, Meta(ge=0, le=40)] = 0
    one_line_site_help: bool = False
    numeric_listing: bool = False
    obeys_list_options: bool = False
    missing_lists_empty: bool = False
    nlst_names_paths: bool = False
    ascii_is_binary: bool = False
    mdtm_sets_times: bool = False
    umask: Annotated[str, Meta(pattern=r"^([0-7]{3,4})?\Z")] = ""
    keeps_user: bool = False
    ignores_empty_lines: bool = False
    oops: bool = False
    session_reuse: Literal["", "required", "refused", "reported"] = ""
    login_needs_tls: bool = False
    data_needs_tls: bool = False
    login_delay_s: Annotated[float, Meta(ge=0, le=60)] | None = None
    idle_s: Annotated[float, Meta(ge=0, le=86400)] = 0

    def __post_init__(self) -> None:
        """Hold what is said in one place against what is said in another.

        Raises:
            QuirkError: A reply for no command, one that means something else, or a feature that isn't known; a text that asks for what
                is never filled in.
        """
        check_fields("greeting", self.greeting, ())
        for number, line in enumerate(self.status):
            check_fields(f"status.{number}", line, (*_FIELDS, "idle", "control", "data"))
        for key, line in self.replies.items():
            _check_reply(key, line)
            check_fields(f"replies.{key}", line, _FIELDS)
        absent = {*self.unknown, *self.unimplemented}
        for feature in self.features or ():
            if feature not in _NO_COMMAND and _COMMAND_OF.get(feature, feature) in absent:
                reason = f"{feature} is announced, and its command is unknown or unimplemented"
                raise QuirkError("features", reason, "features whose commands are known")


OURS = Quirks()
"""No deviation at all."""


def _check_reply(key: str, line: str) -> None:
    named, said = _KEY.fullmatch(key), _REPLY.match(line)
    where = f"replies.{key}"
    if named is None or named["place"] not in _PLACES:
        raise QuirkError(
            where, "no reply of ours goes by this key", "<verb>.<code>, the verb as in rules: cwd.550, *.421"
        )
    if said is None or said[0].endswith("-") != key.endswith("-"):
        begins = f"{named['code']}-" if key.endswith("-") else f"{named['code']} and a blank"
        raise QuirkError(where, "no whole reply line", f"a line that begins as {begins} does, three digits first")
    if said["code"][0] != named["code"][0]:
        raise QuirkError(where, "this changes what the reply means", f"a line whose first digit is {named['code'][0]}")


def dialect(replies: Mapping[str, str], places: Iterable[str], code: str) -> str | None:
    """The line that a persona has for a reply of ours.

    Args:
        replies: The persona's.
        places: The verbs that it could be a reply to, the likeliest first.
        code: Three digits, with "-" for the first line of several.
    """
    for place in (*places, "*"):
        found = replies.get(f"{place}.{code}")
        if found is not None:
            return found
    return None
