"""What `make diagrams` draws is what stands in docs/."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def diagrams() -> ModuleType:
    spec = importlib.util.spec_from_file_location("diagrams", ROOT / "scripts" / "diagrams.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_drawing_is_stale() -> None:
    drawn = diagrams().pages()
    stale = [path.name for path, text in drawn.items() if not path.exists() or path.read_text() != text]
    assert not stale, "run: make diagrams"


def test_every_spoken_room_is_drawn() -> None:
    assert set(diagrams().spoken_rooms()) >= {"imap", "pop3", "smtp"}
