"""`get_exposed_<listener>_port()` for every listener of the testbed."""

from __future__ import annotations


class ExposedPorts:
    """The ports to connect to from where the test runs."""

    def get_port(self, name: str) -> int:
        """The port of a listener by its name."""
        raise NotImplementedError

    def get_exposed_smtp_port(self) -> int:
        """The MTA's port."""
        return self.get_port("smtp")

    def get_exposed_submission_port(self) -> int:
        """The MSA's port that begins in plaintext."""
        return self.get_port("submission")

    def get_exposed_submissions_port(self) -> int:
        """The MSA's port with TLS from the start."""
        return self.get_port("submissions")

    def get_exposed_lmtp_port(self) -> int:
        """The MDA's port."""
        return self.get_port("lmtp")

    def get_exposed_pop3_port(self) -> int:
        """POP3's port that begins in plaintext."""
        return self.get_port("pop3")

    def get_exposed_pop3s_port(self) -> int:
        """POP3's port with TLS from the start."""
        return self.get_port("pop3s")

    def get_exposed_imap_port(self) -> int:
        """IMAP's port that begins in plaintext."""
        return self.get_port("imap")

    def get_exposed_imaps_port(self) -> int:
        """IMAP's port with TLS from the start."""
        return self.get_port("imaps")

    def get_exposed_ftp_port(self) -> int:
        """FTP's port that begins in plaintext."""
        return self.get_port("ftp")

    def get_exposed_ftps_port(self) -> int:
        """FTP's port with TLS from the start."""
        return self.get_port("ftps")

    def get_exposed_ssh_port(self) -> int:
        """SSH's port, SFTP's and SCP's as well."""
        return self.get_port("ssh")

    def get_exposed_http_port(self) -> int:
        """HTTP's port."""
        return self.get_port("http")

    def get_exposed_https_port(self) -> int:
        """HTTP's port with TLS."""
        return self.get_port("https")

    def get_exposed_ws_port(self) -> int:
        """WebSocket's port, Socket.IO's as well."""
        return self.get_port("ws")

    def get_exposed_wss_port(self) -> int:
        """WebSocket's port with TLS."""
        return self.get_port("wss")

    def get_exposed_dns_udp_port(self) -> int:
        """DNS's port over UDP."""
        return self.get_port("dns-udp")

    def get_exposed_dns_tcp_port(self) -> int:
        """DNS's port over TCP."""
        return self.get_port("dns-tcp")

    def get_exposed_console_port(self) -> int:
        """The console's port, the control API's as well."""
        return self.get_port("console")
