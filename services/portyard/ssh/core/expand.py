"""Words to fields: parameters, field splitting, patterns, quote removal, in POSIX's order (XCU §2.6)."""

from __future__ import annotations

import fnmatch
import posixpath
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from portyard.commons.filestore.model import FileRoot
from portyard.ssh.core.model import Literal, Parameter, Part, Word

FIELDS = 65_536  # fields of one command
SIZE = 2 * 1024 * 1024  # characters of all of them, Linux's ARG_MAX

_MAGIC = re.compile(r"[*?\[]")


class TooMuch(Exception):
    """A word became more than a command may take."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What words are expanded in.

    Attributes:
        value: A parameter's value; "" for what isn't set.
        root: The files that patterns match.
        folder: Where relative patterns begin.
        home: What "~" means.
    """

    value: Callable[[str], str]
    root: FileRoot
    folder: str
    home: str


def fields(words: Iterable[Word], around: Surroundings) -> list[str]:
    """What a command is called with.

    Raises:
        TooMuch: More than `FIELDS` or `SIZE`.
    """
    result: list[str] = []
    size = 0
    for word in words:
        for field in _split(word, around):
            found = _matches(field, around) or ["".join(text for text, _ in field)]
            size += sum(map(len, found))
            result += found
            if len(result) > FIELDS or size > SIZE:
                raise TooMuch("argument list too long")
    return result


def single(word: Word, around: Surroundings) -> str:
    """A word that stays one: a redirection's target, an assignment's value (XCU §2.7, §2.9.1)."""
    text = "".join(text for text, _ in _texts(word.parts, around))
    if len(text) > SIZE:
        raise TooMuch("argument list too long")
    return text


_Field = list[tuple[str, bool]]  # texts, and whether each was quoted


def _texts(parts: tuple[Part, ...], around: Surroundings) -> list[tuple[str, bool]]:
    texts = []
    for index, part in enumerate(parts):
        if isinstance(part, Parameter):
            texts.append((around.value(part.name), part.quoted))
        elif index == 0:
            texts.extend(_tilde(part, alone=len(parts) == 1, around=around))
        else:
            texts.append((part.text, part.quoted))
    return texts


def _tilde(part: Literal, *, alone: bool, around: Surroundings) -> list[tuple[str, bool]]:
    """XCU §2.6.1: "~" alone or before "/" is the home directory."""
    if not part.quoted and (part.text.startswith("~/") or (part.text == "~" and alone)):
        rest = part.text[1:]
        home = around.home.rstrip("/") if rest else around.home
        return [(home, True), (rest, False)]
    return [(part.text, part.quoted)]


def _split(word: Word, around: Surroundings) -> list[_Field]:
    """XCU §2.6.5: what an unquoted parameter gives is cut at blanks; "" stays a field where it was quoted."""
    result: list[_Field] = []
    current: _Field | None = None
    for part in word.parts:
        if isinstance(part, Parameter) and not part.quoted:
            value = around.value(part.name)
            pieces = value.split()
            if value[:1].isspace() and current is not None:
                result.append(current)
                current = None
            for index, piece in enumerate(pieces):
                if index and current is not None:
                    result.append(current)
                    current = None
                current = [*(current or []), (piece, False)]
            if pieces and value[-1:].isspace() and current is not None:
                result.append(current)
                current = None
            continue
        first = part is word.parts[0]
        texts = _texts((part,), around) if not first else _texts(word.parts[:1], around)
        if first and isinstance(part, Literal):
            texts = _tilde(part, alone=len(word.parts) == 1, around=around)
        current = [*(current or []), *texts]
    if current is not None:
        result.append(current)
    return result


def _matches(field: _Field, around: Surroundings) -> list[str]:
    """The names that a field matches, sorted; none when it is no pattern or matches nothing (XCU §2.6.6)."""
    if not any(_MAGIC.search(text) for text, quoted in field if not quoted):
        return []
    pattern = "".join(_quoted(text) if quoted else text for text, quoted in field)
    *folders, last = _components(pattern)
    places = ["/"] if pattern.startswith("/") else [""]
    for component in folders:
        places = [place for base in places for place in _step(base, component, around) if _is_folder(place, around)]
        if len(places) > FIELDS:
            raise TooMuch("argument list too long")
    found = [place for base in places for place in _step(base, last, around)]
    return sorted(found)


def _components(pattern: str) -> list[str]:
    parts = [part for part in pattern.split("/") if part]
    return [*parts, ""] if pattern.endswith("/") else parts


def _step(base: str, component: str, around: Surroundings) -> list[str]:
    """The places one component further."""
    if not component:
        return [base.rstrip("/") + "/"] if _is_folder(base, around) else []
    if not _MAGIC.search(component):
        place = posixpath.join(base, component)
        return [place] if _exists(place, around) else []
    try:
        names = around.root.list(posixpath.join(around.folder, base))
    except OSError:
        return []
    match = re.compile(fnmatch.translate(component)).match
    # XCU §2.13.3: a leading period is matched by a period only
    return [
        posixpath.join(base, name)
        for name in names
        if match(name) and (not name.startswith(".") or component.startswith("."))
    ]


def _exists(place: str, around: Surroundings) -> bool:
    try:
        around.root.lstat(posixpath.join(around.folder, place))
    except OSError:
        return False
    return True


def _is_folder(place: str, around: Surroundings) -> bool:
    try:
        return stat.S_ISDIR(around.root.stat(posixpath.join(around.folder, place)).st_mode)
    except OSError:
        return False


def _quoted(text: str) -> str:
    """Text whose pattern characters mean themselves."""
    return _MAGIC.sub(lambda match: f"[{match[0]}]", text)
