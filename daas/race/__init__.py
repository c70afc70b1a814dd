"""Candidates in (networks, policies, base transforms), the one that wins whole trainings out: ``daas.race(...)``."""

from __future__ import annotations

from daas.rooms import open_room

open_room(__name__, "daas.race.api", "race")
