"""How an SSH server may differ from ours: every deviation has a name and is off until a persona switches it on. Pure.

The lists hold what this room can really do, so that a persona can't promise what nobody keeps; a test tries each name.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from portyard.commons.scenario.quirks import QuirkError

Kex = Literal[
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group-exchange-sha1",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group1-sha1",
]
Marker = Literal["ext-info-s", "kex-strict-s-v00@openssh.com"]
HostKey = Literal["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"]
UserKey = Literal[
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
    "ssh-rsa",
]
Cipher = Literal[
    "chacha20-poly1305@openssh.com",
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
    "aes128-cbc",
    "aes192-cbc",
    "aes256-cbc",
    "3des-cbc",
    "blowfish-cbc",
    "cast128-cbc",
    "arcfour",
    "arcfour128",
    "arcfour256",
]
Mac = Literal[
    "umac-64-etm@openssh.com",
    "umac-128-etm@openssh.com",
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha1-etm@openssh.com",
    "umac-64@openssh.com",
    "umac-128@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
    "hmac-sha1",
    "hmac-sha1-96",
    "hmac-md5",
    "hmac-md5-96",
]
Compression = Literal["none", "zlib@openssh.com", "zlib"]
ExtInfo = Literal["server-sig-algs", "ping@openssh.com", "global-requests-ok"]
Method = Literal["publickey", "password", "keyboard-interactive"]
SftpExtension = Literal[
    "posix-rename@openssh.com",
    "statvfs@openssh.com",
    "fstatvfs@openssh.com",
    "hardlink@openssh.com",
    "fsync@openssh.com",
    "lsetstat@openssh.com",
    "limits@openssh.com",
    "expand-path@openssh.com",
    "copy-data",
    "home-directory",
    "users-groups-by-id@openssh.com",
]


Version = Annotated[
    str,
    Meta(
        pattern=r"^([!-,.-~]+( [ -~]+)?)?\Z",
        max_length=240,
        description='What follows "SSH-2.0-": at most 240 printable characters, no hyphen before the first space.',
    ),
]


class Quirks(Struct, frozen=True, forbid_unknown_fields=True):
    """What a persona may say of SSH. A list of algorithms is offered in its order (RFC 4253 §7.1); None is ours.

    Attributes:
        version: What follows "SSH-2.0-" (RFC 4253 §4.2); empty for ours.
        kex: Key exchanges.
        kex_markers: What stands behind them and is none: that extensions are told (RFC 8308 §2.1), and the strict key exchange.
        host_keys: Host key algorithms.
        ciphers: Either way.
        macs: Either way.
        compressions: Either way.
        user_keys: Algorithms by which users' keys may sign; others fail (RFC 4252 §7).
        ext_info: Extensions that a client which asks is told, in their order (RFC 8308 §2.3).
        sig_algs: What `server-sig-algs` names; None for `user_keys`.
        no_host_key_update: The other host keys aren't told after the login (hostkeys-00@openssh.com).
        methods: How users may log in.
        banner: Shown before the login (RFC 4252 §5.4); empty for none.
        auth_tries: Failed logins until a peer is sent away; 0 for ours.
        sftp_extensions: What SFTP announces in its order, and does; others fail.
        openssh_symlinks: SYMLINK names the target first whoever asks, as OpenSSH has it and its clients expect.
        penalty_s: What a connection that ends after failed logins costs its address; who owes three of them or more gets the line
            "Not allowed at this time" in place of a version until they are over; 0 for nothing. Counted by the listener's sandbox.
    """

    version: Version = ""
    kex: tuple[Kex, ...] | None = None
    kex_markers: tuple[Marker, ...] | None = None
    host_keys: tuple[HostKey, ...] | None = None
    ciphers: tuple[Cipher, ...] | None = None
    macs: tuple[Mac, ...] | None = None
    compressions: tuple[Compression, ...] | None = None
    user_keys: tuple[UserKey, ...] | None = None
    ext_info: tuple[ExtInfo, ...] | None = None
    sig_algs: tuple[UserKey, ...] | None = None
    no_host_key_update: bool = False
    methods: tuple[Method, ...] | None = None
    banner: Annotated[str, Meta(max_length=4096)] = ""
    auth_tries: Annotated[int, Meta(ge=0, le=100)] = 0
    sftp_extensions: tuple[SftpExtension, ...] | None = None
    openssh_symlinks: bool = False
    penalty_s: Annotated[float, Meta(ge=0, le=200)] = 0

    def __post_init__(self) -> None:
        """Hold lists against what a connection needs.

        Raises:
            QuirkError: A list of algorithms is empty, or logins are by nothing.
        """
        for name in ("kex", "host_keys", "ciphers", "macs", "compressions", "methods"):
            if getattr(self, name) == ():
                raise QuirkError(name, "this is empty, and no connection does without", "one name at least")


OURS = Quirks()
"""No deviation at all."""
