"""The law of the house: what may import what, how long things are, and what never stands in a file."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from portyard.rooms import ROOMS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "services" / "portyard"
IMPURE = frozenset(
    [
        "asyncio",
        "socket",
        "ssl",
        "time",
        "random",
        "secrets",
        "logging",
        "threading",
        "subprocess",
        "select",
        "signal",
        "aiohttp",
        "aiosmtpd",
        "asyncssh",
        "pyftpdlib",
        "socketio",
        "engineio",
        "uvloop",
    ]
)
MODULES = sorted(PACKAGE.rglob("*.py"))
CORES = [path for path in MODULES if "core" in path.relative_to(PACKAGE).parts]
PROTOCOLS = re.compile(r"(?<![a-z])(smtp|lmtp|pop3|imap|ftp|ftps|sftp|ssh|dns|websocket)(?![a-z])", re.IGNORECASE)


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_there_are_cores_to_judge() -> None:
    assert {path.relative_to(PACKAGE).parts[0] for path in CORES} >= {"pop3", "imap", "smtp", "dns"}


@pytest.mark.parametrize("path", CORES, ids=name_of)
def test_a_core_imports_nothing_impure(path: Path) -> None:
    found = {name for name in imports(tree_of(path)) if name.split(".")[0] in IMPURE or name.endswith(".edge")}
    assert not found


@pytest.mark.parametrize("room", ROOMS)
def test_a_core_is_judged_by_ruff_as_well(room: str) -> None:
    core = PACKAGE / room / "core"
    if core.exists():
        assert (core / "ruff.toml").read_text() == 'extend = "../../../core.ruff.toml"\n'


# The command line and the kit may know the rooms.
HOUSED = [path for path in MODULES if path.relative_to(PACKAGE).parts[0] in (*ROOMS, "commons")]


@pytest.mark.parametrize("path", HOUSED, ids=name_of)
def test_no_room_imports_another(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0]
    others = {f"portyard.{other}" for other in ROOMS if other != room}
    found = {name for name in imports(tree_of(path)) if ".".join(name.split(".")[:2]) in others}
    assert not found


@pytest.mark.parametrize("path", [path for path in MODULES if "commons" in path.parts], ids=name_of)
def test_commons_names_no_protocol(path: Path) -> None:
    """Identifiers and strings that the program uses; comments and docstrings may tell a story."""
    tree = tree_of(path)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.arg | ast.Attribute | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            name = (
                getattr(node, "id", None)
                or getattr(node, "arg", None)
                or getattr(node, "attr", None)
                or getattr(node, "name", "")
            )
            found |= set(PROTOCOLS.findall(re.sub(r"_", " ", str(name))))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            found |= set(PROTOCOLS.findall(node.value))
    assert not found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_sizes(path: Path) -> None:
    text = path.read_text()
    most = 20 if path.name == "__main__.py" and path.parent != PACKAGE else 400
    assert text.count("\n") <= most
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            told = (ast.get_docstring(node, clean=False) or "").count("\n") + (ast.get_docstring(node) is not None)
            assert node.end_lineno - node.lineno + 1 - told <= 40, f"{node.name} is too long"


@pytest.mark.parametrize("path", CORES, ids=name_of)
def test_only_state_moves_a_phase(path: Path) -> None:
    if path.name == "state.py":
        return
    for node in ast.walk(tree_of(path)):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
        )
        moved = [
            target for target in targets if isinstance(target, ast.Attribute) and target.attr in ("phase", "_phase")
        ]
        assert not moved, f"line {node.lineno} moves a phase"


@pytest.mark.parametrize("room", ROOMS)
def test_a_card_imports_nothing_heavy(room: str) -> None:
    """Every port is bound before a protocol library is loaded."""
    program = f"import sys, portyard.{room}.card; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    heavy = {
        "aiohttp",
        "aiosmtpd",
        "asyncssh",
        "pyftpdlib",
        "socketio",
        "cryptography",
        "OpenSSL",
        "msgspec",
        "asyncio",
    }
    assert not heavy & set(loaded)


TRACKED = [
    ROOT / line
    for line in subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.splitlines()
]


def test_no_registry_and_no_machine_is_named() -> None:
    hosts = re.compile(rb"\b(pypi|npmjs|pythonhosted|deb\.debian|registry\.npmjs)\." + rb"(org|com)\b")
    named = [str(path) for path in TRACKED if path.is_file() and hosts.search(path.read_bytes())]
    assert not named
