"""Hostile and damaged inputs: how they are made, and the doors of the package that they are tried at."""
