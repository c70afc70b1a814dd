"""A search from its beginning to an answer: a screen, the search, a race of what was found; ``daas.search`` runs it."""
