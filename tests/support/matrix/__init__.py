"""Room by fault, as clients see it that know nothing of rules: cells that run in a test, against published ports, and inside the network.

Nothing here imports pytest or the product: the same files run in a container of the image, which has the standard library and asyncssh.
"""
