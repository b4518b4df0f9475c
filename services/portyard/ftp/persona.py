"""A control connection that may be another kind of server: what its persona's quirks change, and nothing while it has none."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from portyard.commons.scenario.templates import fill
from portyard.commons.yard import Connection
from portyard.ftp.commands import DATA_COMMANDS, Commands
from portyard.ftp.core.listing import BadTimeError, one_line, parse_time_value, split_options
from portyard.ftp.core.quirks import OURS, dialect
from portyard.ftp.core.replies import SECRET_VERBS, file_refused, reply_fields
from portyard.ftp.core.verbs import verb_of

if TYPE_CHECKING:
    from portyard.ftp.edge import Room

# RFC 3659 has MDTM read a time only; older clients set one by it.
_SETTING = re.compile(r"(?P<time>\d{14}(?:\.\d+)?) (?P<path>.+)", re.ASCII | re.DOTALL)
_FIRST_LINE = re.compile(r"(?P<code>\d{3}-)[^\r\n]*")
_TYPES = {"A": "a", "L7": "a", "I": "i", "L8": "i"}
_SITE_PLACES = {"CHMOD": "site_chmod", "HELP": "site_help", "UMASK": "site_umask"}
_UMASK = {
    "perm": None,
    "auth": True,
    "arg": None,
    "help": "Syntax: SITE UMASK [<SP> mask] (bits that new files don't get).",
}


class Dressed(Commands):
    """See Session for the arguments."""

    _current_type: str

    def __init__(self, room: Room, connection: Connection, sock: socket.socket) -> None:
        self._places: tuple[str, ...] = ("line",)
        self._transfer_place = "line"
        self._argument = ""
        self._options = ""
        self._named_type = "a"
        super().__init__(room, connection, sock)
        if self.quirks.umask:
            self.proto_cmds = {**self.proto_cmds, "SITE UMASK": _UMASK}
        if self.quirks.unknown:  # nor does HELP know them
            self.proto_cmds = {name: said for name, said in self.proto_cmds.items() if name not in self.quirks.unknown}

    # Before every command

    def dispatch(self, text: str, verb: str, argument: str) -> None:
        """Obey what the persona knows; the rest it answers as it does."""
        quirks = self.quirks
        if quirks is OURS:
            super().dispatch(text, verb, argument)
            return
        self._note_place(verb, argument)
        if not text and quirks.ignores_empty_lines:
            return
        if verb in quirks.parting:
            self.part(f"500 {verb} isn't FTP.", "a command of another protocol")
        elif not self.authenticated and quirks.before_login is not None and verb not in quirks.before_login:
            self.respond("530 Log in with USER and PASS first.")
        elif verb in quirks.unimplemented:
            self.respond("502 Command not implemented.")
        elif verb in quirks.unknown:
            self._places = ("unknown",)
            self.respond(f'500 Command "{verb}" not understood.')
        else:
            super().dispatch(text, verb, argument)

    def _note_place(self, verb: str, argument: str) -> None:
        place = verb_of(verb)
        special = _SITE_PLACES.get(argument.partition(" ")[0].upper()) if place == "site" else None
        self._places = (place,) if special is None else (special, place)
        self._argument = "" if verb in SECRET_VERBS else argument
        if verb in DATA_COMMANDS:
            self._transfer_place = place

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        """Options of listings are remembered; a time behind MDTM is set."""
        quirks = self.quirks
        if cmd in ("LIST", "NLST", "STAT"):
            self._options, self._argument = split_options(arg)
        if self.authenticated and quirks is not OURS:
            self.fs.hides_dots = quirks.obeys_list_options and "a" not in self._options
            self.fs.order = self._options if quirks.obeys_list_options else ""
        setting = _SETTING.fullmatch(arg) if cmd == "MDTM" and quirks.mdtm_sets_times and self.authenticated else None
        if setting is not None and not self.fs.lexists(self.fs.ftp2fs(arg)):
            self._set_time(self.fs.ftp2fs(setting["path"]), setting["time"])
        else:
            super().pre_process_command(line, cmd, arg)

    def process_command(self, cmd: str, *args: object, **kwargs: object) -> None:
        """A transfer may need a private data connection."""
        if cmd in DATA_COMMANDS and self.quirks.data_needs_tls and not self.private_data:
            self.respond("522 Data connections must be private here: send PROT P first.")
        else:
            super().process_command(cmd, *args, **kwargs)

    # Replies

    def in_dialect(self, resp: str) -> str:
        """A reply of ours as the persona has it."""
        replies = self.quirks.replies
        if not replies:
            return resp
        found = dialect(replies, (*self._places, self._transfer_place), resp[:3])
        return resp if found is None else fill(found, self._fields(resp), line=True)

    def push(self, data: str) -> None:
        """The first line of several may be another."""
        first = _FIRST_LINE.match(data) if self.quirks.replies else None
        found = dialect(self.quirks.replies, self._places, first["code"]) if first is not None else None
        if first is not None and found is not None:
            data = fill(found, self._fields(first[0]), line=True) + data[first.end() :]
        super().push(data)

    def _fields(self, resp: str) -> dict[str, str | int]:
        fields: dict[str, str | int] = {
            **self.facts,
            **reply_fields(resp),
            "argument": one_line(self._argument),
            "login": self.username,
            "type": self._type_name(),
            "cwd": "",
            "path": "",
            "octets": 0,
        }
        if self.authenticated:
            path = self.fs.ftp2fs(self._argument)
            fields["cwd"] = one_line(self.fs.cwd).replace('"', '""')  # RFC 959, Appendix II
            fields["path"] = one_line(self.fs.fs2ftp(path)).replace('"', '""')
            fields["octets"] = self.fs.getsize(path) if self.fs.isfile(path) else 0
        return fields

    def fail_locally(self) -> None:
        """An error of ours; some servers don't survive theirs."""
        if self.quirks.oops:
            self.part("500 OOPS: local error", "local error")
        else:
            super().fail_locally()

    # Who it is

    def ftp_USER(self, line: str) -> None:
        """Claim a name, unless one is kept."""
        if not (self.quirks.keeps_user and self.authenticated):
            super().ftp_USER(line)
        elif line == self.username:
            self.respond("331 Any password will do, you are logged in.")
        else:
            self.respond("530 Who is logged in can't become another.")

    def ftp_PASS(self, line: str) -> None:
        """Prove it; where the name is kept, once."""
        if self.quirks.keeps_user and self.authenticated:
            self.respond("230 You are logged in already.")
        else:
            super().ftp_PASS(line)

    def logged_in(self) -> None:
        """The files are as the persona keeps them."""
        quirks = self.quirks
        self.fs.numeric = quirks.numeric_listing
        self.fs.umask = int(quirks.umask, 8) if quirks.umask else None
        if quirks.ascii_is_binary:
            self._current_type = "i"

    def flush_account(self) -> None:
        """Forget what was chosen too."""
        super().flush_account()
        self._named_type = self._current_type

    # Representation types

    def ftp_TYPE(self, line: str) -> None:
        """Choose one; in some servers the choice of ASCII changes nothing."""
        self._named_type = _TYPES.get(line.upper().replace(" ", ""), self._named_type)  # the reply may tell it
        super().ftp_TYPE(line)
        if self.quirks.ascii_is_binary:
            self._current_type = "i"

    def _type_name(self) -> str:
        return "ASCII" if self._named_type == "a" else "Binary"

    # Listings

    def ftp_LIST(self, path: str) -> None:
        """List long; what isn't there may be an empty list."""
        if self.quirks.missing_lists_empty and not self._can_list(path):
            self._send_lines(iter(()), "LIST")
        else:
            super().ftp_LIST(path)

    def ftp_NLST(self, path: str) -> None:
        """List names; what isn't there may be an empty list."""
        if self.quirks.missing_lists_empty and not self._can_list(path):
            self._send_lines(iter(()), "NLST")
        else:
            super().ftp_NLST(path)

    def _can_list(self, path: str) -> bool:
        try:
            next(self._long_lines(path), None)
        except OSError:
            return False
        return True

    def _names(self, path: str) -> list[str]:
        names = super()._names(path)
        if self.quirks.nlst_names_paths and self._argument and self.fs.isdir(path):
            return [f"{self._argument.rstrip('/')}/{name}" for name in names]
        return names

    # What we are

    def ftp_FEAT(self, line: str) -> None:
        """What is announced."""
        if self.quirks.features is None:
            super().ftp_FEAT(line)
        else:
            features = (self._mlst_feature() if name == "MLST" else name for name in self.quirks.features)
            self.push("211-Features:\r\n" + "".join(f" {name}\r\n" for name in features))
            self.respond("211 End")

    def ftp_STAT(self, path: str) -> None:
        """The session's state in the persona's form, or a listing."""
        if path:
            self._stat_path(path)
        elif self.quirks.status:
            fields = self._fields("211 ") | {
                "idle": f"{self.timeout:g}",
                "control": "private" if self.secured else "plain text",
                "data": "private" if self.private_data else "plain text",
            }
            lines = "".join(f"{fill(line, fields, line=True)}\r\n" for line in self.quirks.status)
            self.push(f"211-FTP server status:\r\n{lines}")
            self.respond("211 End of status.")
        else:
            super().ftp_STAT("")

    def _stat_path(self, path: str) -> None:
        if self.quirks.missing_lists_empty and not self._can_list(path):
            self.push("213-Status follows:\r\n")
            self.respond("213 End of status.")
        else:
            super().ftp_STAT(path)

    def ftp_HELP(self, line: str) -> None:
        """The commands that the persona knows."""
        columns = self.quirks.help_columns
        if not columns or line:
            super().ftp_HELP(line)
            return
        known = sorted(name for name in self.proto_cmds if " " not in name)
        rows = (known[start : start + columns] for start in range(0, len(known), columns))
        shown = "".join(" " + " ".join(f"{name:<4}" for name in row).rstrip() + "\r\n" for row in rows)
        self.push(f"214-These commands are known.\r\n{shown}")
        self.respond("214 That is all.")

    # SITE

    def ftp_SITE_HELP(self, line: str) -> None:
        """SITE's commands."""
        if not self.quirks.one_line_site_help or line:
            super().ftp_SITE_HELP(line)
        else:
            names = sorted(name.removeprefix("SITE ") for name in self.proto_cmds if name.startswith("SITE "))
            self.respond(f"214 {' '.join(names)}")

    def ftp_SITE_UMASK(self, line: str) -> None:
        """Show or set the bits that new files don't get."""
        if re.fullmatch("[0-7]{1,4}", line or "0", re.ASCII) is None:
            self.respond("501 A mask is octal.")
            return
        if line:
            self.fs.umask = int(line, 8) & 0o777
        self.respond(f"200 UMASK is {self.fs.umask or 0:04o}.")

    def _set_time(self, path: str, time: str) -> None:
        try:
            self.fs.utime(path, parse_time_value(time))
        except BadTimeError:
            self.respond("501 A time is YYYYMMDDHHMMSS.")
        except OSError as error:
            self.respond(file_refused(error))
        else:
            super().respond("213 The time is set.")
