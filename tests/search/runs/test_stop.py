"""When a search stops before its end: the signals that ask for it."""

from __future__ import annotations

import signal

import pytest

from daas.search.runs import stop
from daas.search.runs.stop import StopRequest


def test_a_signal_that_was_passed_on_is_the_same_request(monkeypatch: pytest.MonkeyPatch) -> None:
    with StopRequest() as request:
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
        assert request.requested
        monkeypatch.setattr(stop, "_SAME_SIGNAL", -1.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


def test_a_second_ctrl_c_stops_at_once() -> None:
    with StopRequest() as request:
        signal.raise_signal(signal.SIGINT)
        assert request.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
