"""What the answers are: pure functions over values, without sockets, clocks or chance."""
