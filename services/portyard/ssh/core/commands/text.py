"""Commands that pass text on: whole, in part, in order, changed or counted."""

from __future__ import annotations

import itertools
import os
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator

from portyard.ssh.core.process import HELD, Gather, Process, UsageError, decode, encode

Output = AsyncGenerator[bytes, None]
NUMBERS = 10_000_000  # lines that seq prints at most


async def cat(p: Process) -> Output:
    """Pass files on; -n numbers the lines."""
    found, names = p.options("nu")
    if "n" not in found:
        async for piece in p.files(names):
            yield piece
        return
    gather = Gather()
    number = 0
    async for line in p.lines(p.files(names)):
        number += 1
        if piece := gather.add(b"%6d\t" % number + line):
            yield piece
    yield gather.take()


async def head(p: Process) -> Output:
    """Pass the first 10 lines on, or -n lines, or -c octets."""
    unit, sign, count, names = _amount(p)
    if sign:
        raise UsageError("counting from the end is not supported")
    for index, name in enumerate(names or ["-"]):
        if len(names) > 1:
            yield encode(("\n" if index else "") + f"==> {name} <==\n")
        left = count
        try:
            pieces = p.file(name)
            async for piece in pieces if unit == "c" else p.lines(pieces):
                if left <= 0:
                    break
                yield piece[:left] if unit == "c" else piece
                left -= len(piece) if unit == "c" else 1
                if left <= 0:
                    break  # before more is asked for: it may never come
        except OSError as error:
            await p.fail_os(f"cannot open '{name}' for reading", error)


async def tail(p: Process) -> Output:
    """Pass the last 10 lines on, or -n lines, or -c octets; with "+" from there on."""
    unit, sign, count, names = _amount(p)
    for index, name in enumerate(names or ["-"]):
        if len(names) > 1:
            yield encode(("\n" if index else "") + f"==> {name} <==\n")
        try:
            async for piece in p.keep((_from if sign == "+" else _last)(p, name, unit, count)):
                yield piece
        except OSError as error:
            await p.fail_os(f"cannot open '{name}' for reading", error)


async def _from(p: Process, name: str, unit: str, count: int) -> Output:
    skip = max(count - 1, 0)
    async for piece in p.file(name) if unit == "c" else p.lines(p.file(name)):
        if unit == "c":
            yield piece[skip:]
            skip = max(skip - len(piece), 0)
        elif skip:
            skip -= 1
        else:
            yield piece


async def _last(p: Process, name: str, unit: str, count: int) -> Output:
    kept: deque[bytes] = deque()
    size = 0
    async for piece in p.file(name) if unit == "c" else p.lines(p.file(name)):
        kept.append(piece)
        size += len(piece)
        while kept and (size - len(kept[0]) >= count if unit == "c" else len(kept) > count):
            size -= len(kept.popleft())
        if size > HELD:
            raise UsageError(f"more than {HELD >> 20} MiB to keep")
    data = b"".join(kept)
    yield data[-count:] if unit == "c" and count else data if count else b""


def _amount(p: Process) -> tuple[str, str, int, list[str]]:
    """Unit ("n" or "c"), sign, count, names; `-5` is `-n 5`."""
    args = [f"-n{arg[1:]}" if re.fullmatch(r"-\d+", arg) else arg for arg in p.args]
    p.args = args
    found, names = p.options("qvf", "nc")
    unit = "c" if "c" in found else "n"
    match = re.fullmatch(r"([-+]?)(\d{1,15})", found.get(unit, "10"))
    if match is None:
        raise UsageError(f"invalid number of {'bytes' if unit == 'c' else 'lines'}: '{found[unit]}'")
    sign = match[1] if p.name == "head" or match[1] == "+" else ""
    return unit, sign, int(match[2]), names


async def wc(p: Process) -> Output:
    """Count lines, words, octets and characters."""
    found, names = p.options("lwcm")
    shown = [letter for letter in "lwmc" if letter in found] or ["l", "w", "c"]
    total = dict.fromkeys("lwcm", 0)
    for name in names or ["-"]:
        counts = dict.fromkeys("lwcm", 0)
        inside = False
        try:
            async for piece in p.file(name):
                counts["l"] += piece.count(b"\n")
                counts["c"] += len(piece)
                counts["m"] += sum(octet & 0xC0 != 0x80 for octet in piece) if "m" in shown else 0
                counts["w"] += len(piece.split()) - (inside and not piece[:1].isspace())
                inside = not piece[-1:].isspace()
        except OSError as error:
            await p.fail_os(name, error)
            continue
        for letter, count in counts.items():
            total[letter] += count
        yield _counted(counts, shown, name if names else "")
    if len(names) > 1:
        yield _counted(total, shown, "total")


def _counted(counts: dict[str, int], shown: list[str], name: str) -> bytes:
    numbers = [str(counts[letter]) for letter in shown]
    if len(numbers) > 1 or (name and len(shown) > 1):
        numbers = [f"{number:>7}" for number in numbers]
    return encode(" ".join([*numbers, *([name] if name else [])]) + "\n")


async def sort(p: Process) -> Output:
    """Order lines, by octets: -r -n -u -f, by field with -k and -t."""
    found, names = p.options("rnufbs", "kto")
    data = await p.whole(p.files(names))
    lines = data.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    key = _sort_key(found)
    lines.sort(key=lambda line: (key(line), line) if "s" not in found else key(line), reverse="r" in found)
    if "u" in found:
        lines = [next(group) for _, group in itertools.groupby(lines, key=key)]
    text = b"".join(line + b"\n" for line in lines)
    if "o" in found:
        with p.root.replace(p.path(found["o"])) as file:
            file.write(text)
    else:
        yield text


def _sort_key(found: dict[str, str]) -> Callable[[bytes], tuple[float, bytes]]:
    match = re.fullmatch(r"(\d{1,4})(?:\.\d+)?([nrfb]*)(?:,(\d{1,4})[nrfb.\d]*)?", found.get("k", "1"))
    if match is None or match[1] == "0" or len(found.get("t", "x")) != 1:
        raise UsageError("invalid key or separator", 2)
    first, last = int(match[1]) - 1, int(match[3]) if match[3] else None
    separator = encode(found["t"]) if "t" in found else None
    numeric = "n" in found or "n" in match[2]

    def key(line: bytes) -> tuple[float, bytes]:
        if "k" in found:
            line = (separator or b" ").join(line.split(separator)[first:last])
        if numeric:
            number = re.match(rb"\s*(-?\d{1,15}(?:\.\d{1,15})?)", line)
            return (float(number[1]) if number else 0.0), b""
        return 0.0, line.lower() if "f" in found else line

    return key


async def uniq(p: Process) -> Output:
    """Pass each of a run of equal lines on once: -c with its count, -d only repeated ones, -u only single ones, -i without case."""
    found, names = p.options("cdui")
    last: bytes | None = None
    count = 0

    def told() -> bytes:
        if last is None or ("d" in found and count == 1) or ("u" in found and count > 1):
            return b""
        return (b"%7d " % count if "c" in found else b"") + last + b"\n"

    gather = Gather()
    async for raw in p.lines(p.file(names[0]) if names else p.stdin):
        line = raw.removesuffix(b"\n")
        same = last is not None and (line.lower() == last.lower() if "i" in found else line == last)
        if same:
            count += 1
            continue
        if piece := gather.add(told()):
            yield piece
        last, count = line, 1
    gather.add(told())
    yield gather.take()


async def cut(p: Process) -> Output:
    """Pass parts of lines on: -f fields by -d, -c characters, -b octets; -s only lines with the delimiter."""
    found, names = p.options("s", "dfcb")
    kinds = [letter for letter in "fcb" if letter in found]
    if len(kinds) != 1:
        raise UsageError("you must specify a list of bytes, characters, or fields")
    ranges = _ranges(found[kinds[0]])
    delimiter = found.get("d", "\t")
    if len(delimiter) != 1:
        raise UsageError("the delimiter must be a single character")
    gather = Gather()
    async for raw in p.lines(p.files(names)):
        line = raw.removesuffix(b"\n")
        if kinds == ["b"]:
            out = b"".join(line[first - 1 : last] for first, last in ranges)
        elif kinds == ["c"]:
            out = encode("".join(decode(line)[first - 1 : last] for first, last in ranges))
        else:
            parts = decode(line).split(delimiter)
            if len(parts) == 1:
                if "s" in found:
                    continue
                out = line
            else:
                out = encode(delimiter.join(part for first, last in ranges for part in parts[first - 1 : last]))
        if piece := gather.add(out + b"\n"):
            yield piece
    yield gather.take()


def _ranges(text: str) -> list[tuple[int, int | None]]:
    """`1,3-5,7-` as pairs in order, joined where they meet."""
    pairs: list[tuple[int, int | None]] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{0,9})(-?)(\d{0,9})", part)
        if match is None or not part.strip("-") or match[1] == "0":
            raise UsageError(f"invalid range '{part}'")
        first = int(match[1] or 1)
        last = (int(match[3]) if match[3] else None) if match[2] else first
        if last is not None and last < first:
            raise UsageError("invalid decreasing range")
        pairs.append((first, last))
    result: list[tuple[int, int | None]] = []
    for first, last in sorted(pairs, key=lambda pair: pair[0]):
        if result and (result[-1][1] is None or first <= (result[-1][1] or 0) + 1):
            before = result[-1][1]
            result[-1] = (result[-1][0], None if before is None or last is None else max(before, last))
        else:
            result.append((first, last))
    return result


async def tr(p: Process) -> Output:
    """Replace octets, -d delete them, -s squeeze runs of them, -c all but them."""
    found, sets = p.options("dscC")
    if not sets or (len(sets) < 2 and not {"d", "s"} & found.keys()):
        raise UsageError("missing operand")
    first = list(_set(sets[0]))
    if {"c", "C"} & found.keys():
        first = [octet for octet in range(256) if octet not in set(first)]
    second = list(_set(sets[1])) if len(sets) > 1 else []
    table = bytearray(range(256))
    if second and "d" not in found:
        for index, octet in enumerate(first):
            table[octet] = second[min(index, len(second) - 1)]
    dropped = bytes(first) if "d" in found else b""
    squeezed = frozenset(second or first) if "s" in found else frozenset()
    last = -1
    async for piece in p.stdin:
        out = piece.translate(bytes(table), dropped)
        if squeezed:
            kept = bytearray()
            for octet in out:
                if octet != last or octet not in squeezed:
                    kept.append(octet)
                last = octet
            out = bytes(kept)
        yield out


_CLASSES: dict[str, Callable[[str], bool]] = {
    "alnum": str.isalnum,
    "alpha": str.isalpha,
    "digit": str.isdigit,
    "lower": str.islower,
    "upper": str.isupper,
    "space": str.isspace,
    "punct": lambda char: char.isprintable() and not char.isalnum() and not char.isspace(),
}


def _set(text: str) -> Iterator[int]:
    r"""The octets of `a-z`, `[:upper:]`, `\n`."""
    from portyard.ssh.core.commands.builtin import unescape

    for match in re.finditer(r"\[:(\w+):\]|(\\.|[^\\])-(\\.|[^\\])|(\\[0-7]{1,3}|\\.|.)", text, re.DOTALL):
        if match[1]:
            if match[1] not in _CLASSES:
                raise UsageError(f"invalid character class '{match[1]}'")
            yield from (octet for octet in range(128) if _CLASSES[match[1]](chr(octet)))
        elif match[2]:
            low, high = encode(unescape(match[2])[0])[-1], encode(unescape(match[3])[0])[-1]
            if high < low:
                raise UsageError(f"range-endpoints of '{match[0]}' are in reverse order")
            yield from range(low, high + 1)
        else:
            yield from encode(unescape(match[4])[0])


async def tee(p: Process) -> Output:
    """Pass the input on and write it into files; -a appends."""
    found, names = p.options("ai")
    files: list[tuple[int, str]] = []
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if "a" in found else os.O_TRUNC)
    written = 0
    try:
        for name in names:
            try:
                files.append((p.root.open_fd(p.path(name), flags, 0o666), name))
            except OSError as error:
                await p.fail_os(name, error)
        async for piece in p.stdin:
            written += len(piece)
            if written > p.shell.limit:
                raise UsageError("File too large")
            for fd, _ in files:
                view = memoryview(piece)
                while view:
                    view = view[os.write(fd, view) :]
                p.root.date(fd)
            yield piece
    finally:
        for fd, _ in files:
            os.close(fd)


async def seq(p: Process) -> Output:
    """Print numbers: [first [step]] last."""
    numbers = p.args
    if not 1 <= len(numbers) <= 3 or not all(re.fullmatch(r"-?\d{1,15}", number) for number in numbers):
        raise UsageError("one to three whole numbers are expected")
    values = [int(number) for number in numbers]
    last = values[-1]
    first = values[0] if len(values) > 1 else 1
    step = values[1] if len(values) == 3 else 1
    if step == 0:
        raise UsageError("the step can't be 0")
    sequence = range(first, last + (1 if step > 0 else -1), step)
    if len(sequence) > NUMBERS:
        raise UsageError(f"more than {NUMBERS} numbers")
    gather = Gather()
    for number in sequence:
        if piece := gather.add(b"%d\n" % number):
            yield piece
            await p.io.breathe()
    yield gather.take()


async def rev(p: Process) -> Output:
    """Turn lines round."""
    async for line in p.lines(p.files(p.args)):
        yield encode(decode(line.removesuffix(b"\n"))[::-1]) + b"\n"


COMMANDS = {
    "cat": cat,
    "cut": cut,
    "head": head,
    "rev": rev,
    "seq": seq,
    "sort": sort,
    "tail": tail,
    "tee": tee,
    "tr": tr,
    "uniq": uniq,
    "wc": wc,
}
