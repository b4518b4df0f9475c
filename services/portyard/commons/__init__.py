"""What the rooms share; nothing in it names a protocol."""
