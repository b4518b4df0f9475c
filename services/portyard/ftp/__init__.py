"""FTP and FTPS: RFC 959 with its later parts, hosted on pyftpdlib, on the accounts' own files."""
