"""What knows torch_geometric: whose the rows of a batch are, copies, what is accepted."""
