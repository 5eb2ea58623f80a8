"""The network as it is met: how it is called, what it reads, what reaches positions."""
