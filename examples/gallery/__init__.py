"""Pictures of everything that is shipped, for the documentation."""
