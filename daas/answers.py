"""What the errors of the Hub's client mean, said plainly and without secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub import get_session, get_token
from huggingface_hub.errors import (
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from daas.errors import BadInput

PATIENCE = 60.0
"""Seconds that the Hub may be silent before a request is given up."""
_HTTP_LIBRARIES = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3")  # of the client's versions
_SECRETS = (
    (re.compile(r"hf_(?!hub\b)\w+"), "hf_***"),  # hf_hub: is a name of timm's
    (re.compile(r"(?i)\b(bearer|basic)\s+\S+"), r"\1 ***"),
    (re.compile(r"(https?://)[^/\s@]+@"), r"\1***@"),
    (re.compile(r"(https?://[^\s?]+)\?\S+"), r"\1?***"),
)


_NO_ANSWER = (json.JSONDecodeError, FileMetadataError)  # a page of HTML, an answer without the Hub's headers


class HubFailure(RuntimeError):
    """The Hub cannot be reached, or broke off: nothing that other input would mend."""


def scrub(text: str) -> str:
    """Takes tokens, credentials and signatures out of a text that people will see."""
    try:
        token = get_token()
    except OSError:  # its file may not be read: it is in no text either
        token = None
    if token:
        text = text.replace(token, "***")
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def connection_failed(error: BaseException) -> bool:
    """Whether an error is, or was raised from, a connection that could not be made or broke off."""
    answer = _answer(error)
    if answer is not None:
        return answer.response is not None and answer.response.status_code >= 500
    return any(
        isinstance(cause, (ConnectionError, TimeoutError, OfflineModeIsEnabled, *_NO_ANSWER))
        or type(cause).__module__.partition(".")[0] in _HTTP_LIBRARIES
        for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _answer(error: BaseException) -> HfHubHTTPError | None:
    """The Hub's answer that an error stands for, if it is one."""
    return next((cause for cause in _causes(error) if isinstance(cause, HfHubHTTPError)), None)


@contextmanager
def told_plainly(what: str) -> Iterator[None]:
    """Turns errors of the Hub's client into this package's, without secrets; no request waits for ever.

    Args:
        what: What is being done, for the message.

    Raises:
        BadInput: The Hub refuses: token, name, revision, missing file, missing rights, somebody else's commit.
        HubFailure: It cannot be reached, is in trouble, or something else answers in its place.
    """
    session: Any = get_session()
    before = getattr(session, "timeout", None)
    session.timeout = PATIENCE
    try:
        yield
    except (BadInput, HubFailure):
        raise
    except Exception as error:  # of huggingface_hub and of its HTTP client; said plainly, never swallowed
        raise _plain(what, error) from None
    finally:
        session.timeout = before


def _plain(what: str, error: Exception) -> Exception:
    if any(isinstance(cause, _NO_ANSWER) for cause in _causes(error)):
        return HubFailure(
            f"{what}: what answered is not the Hub: perhaps the log-in page of a network, or a proxy's. Open a page in "
            "a browser to see it; look at HF_ENDPOINT if it is set; then run the same command again."
        )
    if isinstance(error, (LocalEntryNotFoundError, OfflineModeIsEnabled)):
        return HubFailure(f"{what}: the Hub cannot be reached ({_first_line(error)}).")
    answer = _answer(error)
    if isinstance(error, HFValidationError) or isinstance(answer, _MISSING):
        return BadInput(f"{what}: {_missing(answer or error)}")
    status = 0 if answer is None or answer.response is None else answer.response.status_code
    if answer is not None and status in _REFUSALS:
        return BadInput(f"{what}: {_REFUSALS[status]} (HTTP {status}: {_first_line(answer)})")
    if answer is not None:
        return HubFailure(f"{what}: the Hub answers with an error ({_first_line(answer)}). Try again later.")
    if connection_failed(error):
        return HubFailure(
            f"{what}: the connection to the Hub failed ({_first_line(error)}). Check the network, and HF_ENDPOINT and "
            "HF_HUB_OFFLINE if they are set; then run the same command again."
        )
    if isinstance(error, UnicodeEncodeError):
        return BadInput(
            f"{what}: the token holds {error.object[error.start : error.end]!r}, which no token does. Copy it again, "
            "all of it (hf auth login, or HF_TOKEN)."
        )
    if isinstance(error, OSError):
        return BadInput(f"{what}: {_first_line(error)}. Is there room on the disk, and may the Hub's cache be written?")
    if isinstance(error, (KeyError, TypeError, AttributeError, ValueError)):  # fields that every answer of the Hub has
        return HubFailure(f"{what}: the Hub's answer cannot be understood ({_first_line(error)}). Try again later.")
    return error


_MISSING = (RevisionNotFoundError, EntryNotFoundError, RepositoryNotFoundError)
_REFUSALS = {
    400: "the Hub refuses the request.",
    401: "the Hub refuses the token. Log in again (hf auth login), or set HF_TOKEN to a valid one.",
    403: "the Hub does not allow this. Use a token that may (to push, one with write access), or a name of your own.",
    409: "the Hub is busy with another change of this repository. Run the same command again.",
    412: "somebody else has pushed in the meantime. Look at what they did, then run the same command again.",
}


def _missing(error: Exception) -> str:
    if isinstance(error, RevisionNotFoundError):
        return "there is no such branch, tag or commit."
    if isinstance(error, EntryNotFoundError):
        return f"a file is missing there ({_first_line(error)})."
    if isinstance(error, GatedRepoError):
        return (
            "the repository is gated: accept its conditions on its page, in a browser, and be logged in as the one who "
            "did (hf auth login, or HF_TOKEN)."
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            "there is no such repository, or it is private and you are not logged in as somebody who may see it "
            "(hf auth login, or HF_TOKEN)."
        )
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return scrub(lines[0])[:300].rstrip(".") if lines else type(error).__name__
