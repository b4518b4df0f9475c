"""Frames, the handshake and rooms as values: no sockets, clocks or chance."""
