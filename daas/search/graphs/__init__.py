"""Passes of the search as CUDA graphs: piece by piece where paths are sampled, whole where the network is fixed."""
