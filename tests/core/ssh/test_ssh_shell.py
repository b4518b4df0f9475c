"""The shell and its commands on a real folder, with no connection."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from portyard.ssh.core.process import HELD
from tests.support.ssh_shell import Desk, FakeIo


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "files")


FRUIT = "printf 'pear 3\\napple 10\\nfig 2\\napple 10\\n' > fruit"


@pytest.mark.parametrize(
    ("script", "out"),
    [
        # the language
        ("echo a  'b  c' \"d\"", "a b  c d\n"),
        ("A=1; echo $A${A}b", "11b\n"),
        ("A='x y'; printf '<%s>' $A \"$A\" ''", "<x><y><x y><>"),
        ('A=; printf "<%s>" $A "$A" ""$A', "<><>"),
        ("A=' x '; printf '<%s>' a$A'b'", "<a><x><b>"),
        ("false; echo $?; true; echo $?", "1\n0\n"),
        ("true && echo a || echo b; false && echo c || echo d", "a\nd\n"),
        ("! false && echo yes", "yes\n"),
        ("echo ~ ~/x '~' a~", "/ /x ~ a~\n"),
        ("touch b a .c; echo * '*' .* x*", "a b * .c x*\n"),
        ("mkdir -p d/e; touch d/e/f1 d/e/f2; echo d/*/f? */e/ d/e/f[!1]", "d/e/f1 d/e/f2 d/e/ d/e/f2\n"),
        ("touch 'a b' a*; ls 'a'*", "a b\na*\n"),
        ("touch '[x]' x; echo '[x]' [x]", "[x] x\n"),
        ("echo one > f; echo two >> f; cat < f", "one\ntwo\n"),
        ("echo x 2>&1 >/dev/null; ls nope 2>&1 | cat; echo $?", "ls: cannot access 'nope': No such file or directory\n0\n"),
        ("ls nope 2>/dev/null || echo none", "none\n"),
        ("echo a | tr a b | cat -n", "     1\tb\n"),
        ("cd /tmpx 2>e; cat e", "cd: /tmpx: No such file or directory\n"),
        ("mkdir d; cd d | cat; pwd; cd d && pwd; cd ..; pwd; cd -", "/\n/d\n/\n/d\n"),
        ("A=1 env | grep ^A; B=2; env | grep -c ^B=; export B; env | grep ^B", "A=1\n0\nB=2\n"),
        ("/bin/echo x; /usr/bin/printf y", "x\ny"),
        ("echo a; exit 0; echo b", "a\n"),
        ("touch made | true; ls", "made\n"),
        ("seq 1000000 | head -n 2", "1\n2\n"),
        # text
        (f"{FRUIT}; sort fruit | uniq -c", "      2 apple 10\n      1 fig 2\n      1 pear 3\n"),
        (f"{FRUIT}; sort -u -k 2n fruit", "fig 2\npear 3\napple 10\n"),
        (f"{FRUIT}; sort -rn -k2 fruit | head -1", "apple 10\n"),
        (f"{FRUIT}; cut -d' ' -f2 fruit | tail -n +3", "2\n10\n"),
        (f"{FRUIT}; wc fruit; wc -l < fruit; cat fruit | wc -c", "      4       8      31 fruit\n4\n31\n"),
        (f"{FRUIT}; tail -n 1 fruit; tail -c 3 fruit; head -c 4 fruit", "apple 10\n10\npear"),
        (f"{FRUIT}; grep -n -i APPLE fruit; grep -v -c a fruit; grep -l pear *", "2:apple 10\n4:apple 10\n1\nfruit\n"),
        ("echo abc | cut -c2-; echo a:b:c | cut -d: -f1,3; echo nodelim | cut -d: -f2 -s", "bc\na:c\n"),
        ("echo 'aabb  cc' | tr -s 'a ' ; echo aXb | tr -d A-Z; echo hi | tr '[:lower:]' '[:upper:]'", "abb cc\nab\nHI\n"),
        ("echo 'x1y' | tr -c 0-9 _", "_1__"),
        ("echo keep | tee a b | tee -a a; cat a b", "keep\nkeep\nkeep\nkeep\n"),
        ("seq 3; seq 2 4 | tr '\\n' ,; seq 5 -2 1 | tr '\\n' ,", "1\n2\n3\n2,3,4,5,3,1,"),
        ("printf '%s=%d|' a 1 b 2; printf '%5.2f|%-4s|%x|%%\\n' 3.14159 ab 255", "a=1|b=2| 3.14|ab  |ff|%\n"),
        ("echo -n a; echo -e 'b\\tc\\x41'; echo -E 'd\\n'", "ab\tcA\nd\\n\n"),
        ("echo a | md5sum; printf '' | sha256sum | cut -c-8", "60b725f10c9c85c70d97880dfe8191b3  -\ne3b0c442\n"),
        # files
        ("mkdir a; rmdir a; mkdir -p x/y/z; touch x/y/z/f; rm -r x; ls", ""),
        ("echo 1 > a; cp a b; mv b c; mkdir d; cp a c d; ls d; mv d e; cat e/c", "a\nc\n1\n"),
        ("mkdir -p s/t; echo 1 > s/t/f; ln -s f s/t/l; cp -r s u; ls u/t; cat u/t/l", "f\nl\n1\n"),
        ("echo 1 > a; ln -s a l; ln a h; cat l h; test -L l && echo link", "1\n1\nlink\n"),
        ("touch a; chmod 640 a; stat -c '%a %s %U' a; chmod u+x,g-r,o=r a; stat -c %A a", "640 0 alice\n-rwx---r--\n"),
        ("touch -d @86400 a; stat -c %Y a; touch a; stat -c %Y a", "86400\n1893585600\n"),
        ("mkdir -p d/e; touch d/a.txt d/e/b.txt d/c; find d -name '*.txt' -type f", "d/a.txt\nd/e/b.txt\n"),
        ("mkdir -p d/e/f; find . -maxdepth 1 -type d ! -name .", "./d\n"),
        ("mkdir d; touch d/.h d/v; ls d; ls -a d; ls -A1 d; ls -d d", "v\n.\n..\n.h\nv\n.h\nv\nd\n"),
        ("mkdir -p d/e; touch d/e/f; ls -R d", "d:\ne\n\nd/e:\nf\n"),
        ("touch f; ls -l f | cut -d' ' -f 1-4", "-rw-r--r-- 1 alice alice\n"),
        # who, where, when
        ("whoami; id -un; id -u; hostname; uname", "alice\nalice\n1000\nportyard\nPortyard\n"),
        ("date; date +%F_%T; date -u +%s; date -d @0 +%Y", "Wed Jan  2 12:00:00 UTC 2030\n2030-01-02_12:00:00\n1893585600\n1970\n"),
        ("basename /a/b.c .c; dirname /a/b /c d", "b\n/a\n/\n.\n"),
        ("which ls; type cd; command -v grep", "/usr/bin/ls\ncd is a shell builtin\ngrep\n"),
        ("help | head -1", "An emulated shell on this account's own files. Commands:\n"),
        # test
        ("touch f; mkdir d; for_ 2>/dev/null; [ -f f ] && [ -d d ] && [ ! -e x ] && echo ok", "ok\n"),
        ("[ a = a -a b != c ] && [ 3 -gt 2 ] && test -n x && test -z '' && echo ok", "ok\n"),
        ("[ 1 -eq 2 -o '(' x ')' ] && echo ok; test || echo no", "ok\nno\n"),
    ],
)  # fmt: skip
def test_scripts(script: str, out: str, desk: Desk) -> None:
    assert desk.run(script).out == out


@pytest.mark.parametrize(
    ("script", "status", "err"),
    [
        ("nonsense", 127, "sh: nonsense: command not found\n"),
        ("./x", 127, "sh: ./x: No such file or directory\n"),
        ("touch x; ./x", 126, "sh: ./x: Permission denied\n"),
        ("/", 126, "sh: /: Is a directory\n"),
        ("exit 300", 44, ""),
        ("exit x", 2, "exit: x: numeric argument required\n"),
        ("cat nope", 1, "cat: nope: No such file or directory\n"),
        ("cat /", 1, "cat: /: Is a directory\n"),
        ("ls -z", 2, "ls: invalid option -- 'z'\n"),
        ("head -n x", 1, "head: invalid number of lines: 'x'\n"),
        ("grep '[' x", 2, "grep: Unmatched [, [^, [:, [., or [=\n"),
        ("grep x /", 2, "grep: /: Is a directory\n"),
        ("echo x | grep y", 1, ""),
        ("rm", 1, "rm: missing operand\n"),
        ("rm -r /", 1, "rm: refusing to remove '/'\n"),
        ("mkdir d; rm d", 1, "rm: cannot remove 'd': Is a directory\n"),
        ("mkdir -p d/e; rmdir d", 1, "rmdir: failed to remove 'd': Directory not empty\n"),
        ("mkdir d; cp -r d d/e", 1, "cp: cannot copy 'd' to 'd/e': Invalid argument\n"),
        ("mkdir d; cp d x", 1, "cp: -r not specified; omitting directory 'd'\n"),
        ("rm -f nope; mv a b", 1, "mv: cannot move 'a' to 'b': No such file or directory\n"),
        ("echo x > d/e", 1, "sh: d/e: No such file or directory\n"),
        ("cat < nope", 1, "sh: nope: No such file or directory\n"),
        ("sleep x", 1, "sleep: invalid time interval 'x'\n"),
        ("[ 1 -eq x ]", 2, "[: x: integer expression expected\n"),
        ("[ 1", 2, "[: missing ']'\n"),
        ("seq 1 0 2", 1, "seq: the step can't be 0\n"),
        ("find . -exec rm {} +", 1, "find: unknown predicate '-exec'\n"),
        ("env ls", 125, "env: only printing is supported\n"),
        ("echo |", 2, "sh: syntax error: unexpected end of file\n"),
    ],
)
def test_complaints(script: str, status: int, err: str, desk: Desk) -> None:
    said = desk.run(script)
    assert (said.status, said.err) == (status, err)


def test_links_and_dots_stay_inside(desk: Desk, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("the host's\n")
    desk.run(f"ln -s {outside} l; ln -s ../../../../.. up")
    for script in ("cat l", f"cat {outside}", "cat up/outside", "cat ../../outside", "cp l x", "grep -r host up/etc"):
        said = desk.run(script)
        assert said.status != 0, script
        assert not said.out, script
    assert desk.out("cd up; pwd; cd ../../..; pwd") == "/\n/\n"
    assert desk.out("ls -l l").endswith(f"l -> {outside}\n")
    desk.run("echo changed > l; rm -rf up/* ../*")
    assert outside.read_text() == "the host's\n"


def test_octets_pass_unchanged(desk: Desk) -> None:
    blob = bytes(range(256)) * 1000
    assert desk.out("cat > f; sha256sum < f", blob) == f"{hashlib.sha256(blob).hexdigest()}  -\n"
    assert (desk.real / "f").read_bytes() == blob
    desk.run("cat f | tee g | cat")
    assert bytes(desk.io.out) == blob
    name = os.fsdecode(b"\xff\xfe")
    (desk.real / name).write_text("x")
    assert desk.out(f"cat {name}") == "x"


def test_a_big_file_is_never_whole_in_memory(desk: Desk) -> None:
    with (desk.real / "big").open("wb") as file:
        file.truncate(256 << 20)
    assert desk.out("cat big | wc -c") == f"{256 << 20}\n"
    desk.run("head -c 1000000 big | cat")
    assert len(desk.io.out) == 1_000_000
    assert desk.io.most <= 128 * 1024
    said = desk.run("sort big")
    assert said.err == f"sort: more than {HELD >> 20} MiB of input\n"


def test_a_file_has_a_limit(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "files", limit=100_000)
    said = desk.run("seq 100000 > f")
    assert (said.status, said.err) == (1, "sh: File too large\n")
    assert (desk.real / "f").stat().st_size <= 100_000
    assert desk.run("seq 100000 | tee g > /dev/null").err == "tee: File too large\n"
    assert (desk.real / "g").stat().st_size <= 100_000
    said = desk.run("echo x > h; seq 10000 >> h; seq 10000 >> h; seq 10000 >> h")
    assert said.err == "sh: File too large\n"


def test_time_is_the_testbeds(desk: Desk) -> None:
    desk.run("sleep 1.5; sleep 2m; sleep 99d")
    assert desk.io.slept == [1.5, 120.0, 86_400.0]


def test_the_prompt_shows_where(desk: Desk) -> None:
    assert desk.shell.prompt == "alice@portyard:~$ "
    desk.run("mkdir -p a/b; cd a/b")
    assert desk.shell.prompt == "alice@portyard:~/a/b$ "


def test_commands_share_their_input(desk: Desk) -> None:
    async def main() -> None:
        io = FakeIo([b"first\nsec", b"ond\nrest of it\n"])
        reader = desk.shell.input_of(io)
        assert await reader.readline() == b"first\n"
        assert await reader.readline() == b"second\n"
        await desk.shell.run("cat", io)
        assert bytes(io.out) == b"rest of it\n"
        assert await reader.readline() == b""

    asyncio.run(main())


def test_what_runs_is_closed_when_it_is_cancelled(desk: Desk) -> None:
    class Slow(FakeIo):
        async def read(self) -> bytes:
            await asyncio.Event().wait()
            return b""

    async def main() -> None:
        task = asyncio.create_task(desk.shell.run("cat | tee f | cat > g", Slow()))
        for _ in range(1000):
            await asyncio.sleep(0)
        assert (desk.real / "f").exists()
        before = len(os.listdir("/proc/self/fd"))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(os.listdir("/proc/self/fd")) <= before - 2  # those of earlier tests may go at any moment

    asyncio.run(main())


def test_too_many_words(desk: Desk) -> None:
    for number in range(300):
        (desk.real / f"{number:0200d}").touch()
    said = desk.run('A=*; B="$A $A $A $A $A $A $A $A"; C="$B $B $B $B $B $B"; echo $C')
    assert said.err == "sh: argument list too long\n"
