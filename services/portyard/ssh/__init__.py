"""The SSH room: shell, exec, SFTP and SCP on the account's own files (RFC 4251-4254, hosted on asyncssh)."""
