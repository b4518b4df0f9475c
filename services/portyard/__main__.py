"""The `portyard` command."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; `serve` alone takes the short way, without the table and colour libraries."""
    if len(sys.argv) > 1 and sys.argv[1] == "serve" and "--help" not in sys.argv:
        from portyard.cli.serve import serve

        return serve(sys.argv[2:])
    from portyard.cli.app import app

    return int(app(prog_name="portyard") or 0)


if __name__ == "__main__":
    sys.exit(main())
