"""An account's files, as FTP, SFTP and HTTP show them, without any of the three."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from portyard.testing.control import Control, ControlError, segment


class Files:
    """An account's files. Made by `Sandbox.files`.

    Args:
        control: The API.
        sandbox: The sandbox's path in it.
        account: An address or its local part.
    """

    def __init__(self, control: Control, sandbox: str, account: str) -> None:
        self._control = control
        self._path = f"{sandbox}/files/{segment(account)}"

    def get(self, path: str) -> bytes:
        """A file's octets.

        Raises:
            ControlError: There is no such file, or it is a directory.
        """
        octets = self._control.raw(self._place(path))
        if octets.startswith(b"[") and self._is_directory(path):  # whose list that is
            raise ControlError(409, {"detail": f"/{path.strip('/')}: is a directory", "key": "path", "value": path})
        return octets

    def put(self, path: str, content: bytes | str) -> None:
        """Write a file (text as UTF-8), the directories above it made; a path that ends with a slash makes a directory."""
        self._control.put_raw(self._place(path), content.encode() if isinstance(content, str) else content)

    def list(self, path: str = "/") -> dict[str, dict[str, Any]]:
        """What is in a directory, by name: `type` ("file", "directory" …), `size`, `modified_at`."""
        return {entry["name"]: entry for entry in self._control.get(self._place(path.rstrip("/") + "/"))}

    def delete(self, path: str) -> None:
        """Remove a file, or a directory with all that is in it."""
        self._control.delete(self._place(path))

    def __contains__(self, path: str) -> bool:
        folder, _, name = path.rstrip("/").rpartition("/")
        try:
            return name in self.list(folder)
        except ControlError as error:
            if error.status != 404:
                raise
            return False

    def _is_directory(self, path: str) -> bool:
        try:
            self.list(path)
        except ControlError:
            return False
        return True

    def _place(self, path: str) -> str:
        return f"{self._path}/{quote(path.lstrip('/'))}"
