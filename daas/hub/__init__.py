"""A training run -> a repository that strangers can load, and back: export, push, verify, pull."""

from __future__ import annotations

from daas.answers import HubFailure
from daas.hub.exporting import export
from daas.hub.pulling import pull
from daas.hub.pushing import push
from daas.hub.verifying import verify

__all__ = ["HubFailure", "export", "pull", "push", "verify"]
