"""The way from torch_geometric data to metatomic's systems and back to plain tensors.

Nothing is imported here: metatomic belongs to the extra ``atomistic``.
"""
