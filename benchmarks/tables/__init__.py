"""The paper's tables at a scale that two CPU cores carry: a line per training, tables and plots from these lines."""
