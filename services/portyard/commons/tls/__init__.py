"""The one TLS layer: the CA, one recipe per named certificate, and TLS over the loop's plain transports.

Nothing is imported here: a process that only needs the CA's path pays for no layer, and nobody pays for `cryptography` until a
certificate must be made.
"""
