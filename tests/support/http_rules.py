"""What the HTTP room's rules are tried with: requests as octets that end their connection, and what answers to them say."""

from __future__ import annotations

import base64

GET = b"GET /bytes/5000?seed=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
ALICE = b"Authorization: Basic " + base64.b64encode(b"alice:alice-secret") + b"\r\n"


def put(path: str, body: bytes = b"cargo") -> bytes:
    head = f"PUT /files/alice/{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + ALICE + b"\r\n" + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n".encode() + ALICE + b"\r\n"


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])
