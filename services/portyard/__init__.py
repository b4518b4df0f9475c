"""Portyard: a yard full of ports, a testbed of protocol servers that people point real clients at."""

__version__ = "0.1.0"
