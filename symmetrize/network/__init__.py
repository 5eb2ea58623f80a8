"""The network as it is met: how it is called, what it reads and returns, what reaches positions."""
