"""A server on the loopback that speaks the Hub's HTTP protocol, as far as pushing and loading models needs it.

It keeps everything in memory, listens on 127.0.0.1 only, limits the size of what it takes, and stops by itself after a
while even if nobody stops it. ``cut`` makes it break off connections as a bad line would.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

USER, TOKEN = "ada", "hf_" + "Q" * 34
LARGE = (".safetensors", ".png")  # what the server keeps as objects instead of in the repository
LIMIT = 32 * 2**20
LIFETIME = 180.0  # seconds

Files = dict[str, bytes]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repository:
    """Commits by their hash, branches by their name; files of a gated one are not for everybody."""

    private: bool
    gated: bool = False
    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)

    def commit(self, branch: str, files: Mapping[str, bytes], title: str) -> str:
        self.titles.append(title)
        sha = hashlib.sha1(repr((len(self.titles), title, sorted(files))).encode()).hexdigest()
        self.commits[sha] = dict(files)
        self.branches[branch] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.branches.get(revision)

    def files(self, revision: str = "main") -> Files:
        return self.commits[self.branches[revision]]


class Refused(Exception):
    """An answer that is an error: status, the Hub's error code and message."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class Hub:
    """What the server knows.

    Attributes:
        repositories: By ``user/name``.
        objects: Large files by their SHA-256, as uploaded; in no repository until a commit names them.
        cut: How often the connection is still cut: ``object`` and ``commit`` in the middle of the request's body,
            ``answer`` after a commit was made and before it is confirmed, ``download`` in the middle of a file.
        requests: Everything that was asked, ``METHOD path``.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.cut: dict[str, int] = {}
        self.requests: list[str] = []
        self.url = ""

    def cuts(self, stage: str) -> bool:
        left = self.cut.get(stage, 0)
        self.cut[stage] = max(0, left - 1)
        return left > 0


@contextmanager
def serve() -> Iterator[Hub]:
    """Starts a server on a free port of the loopback and stops it."""
    hub = Hub()

    class Bound(Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    stop = threading.Timer(LIFETIME, server.shutdown)
    stop.daemon = True
    stop.start()
    try:
        yield hub
    finally:
        stop.cancel()
        server.shutdown()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = 20
    disable_nagle_algorithm = True
    state: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815  # names that the base class looks for

    def _answer(self) -> None:
        self.state.requests.append(f"{self.command} {self.path}")
        try:
            for pattern, handle in ROUTES:
                method, _, path = pattern.partition(" ")
                found = re.fullmatch(path, unquote(urlsplit(self.path).path))
                if found and self.command in method.split("|"):
                    handle(self, **found.groupdict())
                    return
            self._body()
            raise Refused(404, f"nothing at {self.path}")
        except Refused as refused:
            headers = {"X-Error-Message": refused.message} | ({"X-Error-Code": refused.code} if refused.code else {})
            self._send(refused.status, {"error": refused.message}, headers)
        except ConnectionError:
            self._hang_up()

    def _send(self, status: int, content: Any, headers: Mapping[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _body(self, cut: bool = False) -> bytes:
        """The request's body, or a broken connection after half of it."""
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            data = b"".join(self._chunks())
            if cut:
                raise ConnectionError
            return data
        length = int(self.headers.get("Content-Length", 0))
        if length > LIMIT:
            raise Refused(413, "too large")
        data = self.rfile.read(length // 2 if cut else length)
        if cut:
            raise ConnectionError
        return data

    def _chunks(self) -> Iterator[bytes]:
        total = 0
        while size := int(self.rfile.readline().split(b";")[0], 16):
            total += size
            if total > LIMIT:
                raise Refused(413, "too large")
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _user(self, needed: bool = True) -> str | None:
        """The user whom the token names."""
        given = self.headers.get("Authorization", "")
        if given == f"Bearer {TOKEN}":
            return USER
        if given:
            raise Refused(401, "Invalid credentials in Authorization header")
        if needed:
            raise Refused(401, "Invalid username or password.")
        return None

    def _repository(self, repo: str, write: bool = False) -> Repository:
        user = self._user(needed=write)
        found = self.state.repositories.get(repo)
        if found is None or (found.private and user is None):
            raise Refused(404 if user else 401, "Repository not found", "RepoNotFound")
        if write and user != repo.split("/")[0]:
            raise Refused(403, "You don't have the rights to write here")
        return found

    def _commit_of(self, found: Repository, revision: str) -> str:
        sha = found.resolve(revision)
        if sha is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha

    def whoami(self) -> None:
        self._send(200, {"type": "user", "name": self._user(), "orgs": []})

    def create(self) -> None:
        asked = json.loads(self._body())
        user = self._user()
        owner = asked.get("organization") or user
        if owner != user:
            raise Refused(403, f"You don't have the rights to create a model under the namespace {owner!r}")
        repo = f"{owner}/{asked['name']}"
        if repo in self.state.repositories:
            raise Refused(409, "You already created this model repo")
        made = self.state.repositories[repo] = Repository(asked.get("visibility") == "private")
        made.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")
        self._send(200, {"url": f"{self.state.url}/{repo}", "name": repo, "id": repo})

    def branch(self, repo: str, branch: str) -> None:
        asked = json.loads(self._body() or b"{}")
        found = self._repository(repo, write=True)
        if branch in found.branches:
            raise Refused(409, f"Reference already exists: {branch}")
        found.branches[branch] = self._commit_of(found, asked.get("startingPoint") or "main")
        self._send(201, {})

    def validate_yaml(self) -> None:
        content = json.loads(self._body())["content"]
        found = re.match(r"---\n(.*?)\n---", content, re.DOTALL)
        try:
            wrong = [] if found and isinstance(yaml.safe_load(found[1]), dict) else ["no metadata"]
        except yaml.YAMLError as error:
            wrong = [str(error)]
        errors = [{"message": message} for message in wrong]
        self._send(400 if errors else 200, {"errors": errors, "warnings": []})

    def preupload(self, repo: str, revision: str) -> None:
        asked = json.loads(self._body())
        found = self._repository(repo, write=True)
        have = found.commits[self._commit_of(found, revision)]
        answer = []
        for file in asked["files"]:
            path, large = file["path"], file["path"].endswith(LARGE)
            old = have.get(path)
            oid = None if old is None else (sha256(old) if large else blob_id(old))
            mode = "lfs" if large else "regular"
            answer.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._send(200, {"files": answer})

    def batch(self, repo: str) -> None:
        asked = json.loads(self._body())
        self._repository(repo, write=True)
        answer = []
        for wanted in asked["objects"]:
            href = f"{self.state.url}/objects/{wanted['oid']}"
            missing = wanted["oid"] not in self.state.objects
            actions = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
            answer.append({**wanted, **({"actions": actions} if missing else {})})
        self._send(200, {"transfer": "basic", "objects": answer})

    def put(self, oid: str) -> None:
        content = self._body(cut=self.state.cuts("object"))
        if sha256(content) != oid:
            raise Refused(400, "the object has another hash")
        self.state.objects[oid] = content
        self._send(200, {})

    def verify(self, oid: str) -> None:
        asked = json.loads(self._body())
        if len(self.state.objects.get(oid, b"")) != asked["size"]:
            raise Refused(404, "no such object")
        self._send(200, {})

    def commit(self, repo: str, revision: str) -> None:
        lines = [json.loads(line) for line in self._body(cut=self.state.cuts("commit")).splitlines()]
        found = self._repository(repo, write=True)
        before = self._commit_of(found, revision)
        header = lines[0]["value"]
        if header.get("parentCommit", before) != before:
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        files = dict(found.commits[before])
        for line in lines[1:]:
            path = line["value"]["path"]
            if ".." in path.split("/") or path.startswith("/"):
                raise Refused(400, f"invalid path {path!r}")
            if line["key"] == "file":
                files[path] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                if line["value"]["oid"] not in self.state.objects:
                    raise Refused(400, f"the object of {path} was not uploaded")
                files[path] = self.state.objects[line["value"]["oid"]]
            elif line["key"] == "deletedFile":
                del files[path]
        sha = found.commit(revision, files, header["summary"])
        if self.state.cuts("answer"):
            raise ConnectionError
        self._send(200, {"commitUrl": f"{self.state.url}/{repo}/commit/{sha}", "commitOid": sha})

    def info(self, repo: str, revision: str = "main") -> None:
        found = self._repository(repo)
        sha = self._commit_of(found, revision)
        siblings = [_sibling(path, content) for path, content in sorted(found.commits[sha].items())]
        self._send(200, {"id": repo, "sha": sha, "private": found.private, "tags": [], "siblings": siblings})

    def tree(self, repo: str, revision: str) -> None:
        if "recursive" not in parse_qs(urlsplit(self.path).query):
            raise Refused(400, "only whole trees")
        found = self._repository(repo)
        answer = []
        for path, content in sorted(found.commits[self._commit_of(found, revision)].items()):
            entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": blob_id(content)}
            if path.endswith(LARGE):
                entry["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 134}
            answer.append(entry)
        self._send(200, answer)

    def file(self, repo: str, revision: str, path: str) -> None:
        found = self._repository(repo)
        if found.gated:
            raise Refused(403, f"Access to model {repo} is restricted", "GatedRepo")
        sha = self._commit_of(found, revision)
        content = found.commits[sha].get(path)
        if content is None:
            raise Refused(404, "Entry not found", "EntryNotFound")
        headers = {"X-Repo-Commit": sha, "ETag": f'"{blob_id(content)}"'}
        if path.endswith(LARGE):
            headers |= {"X-Linked-Etag": f'"{sha256(content)}"', "X-Linked-Size": str(len(content))}
        begin = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if begin:  # a download that goes on after it broke off
            headers["Content-Range"] = f"bytes {begin[1]}-{len(content) - 1}/{len(content)}"
            content = content[int(begin[1]) :]
        headers["Content-Length"] = str(len(content))
        if self.command == "GET" and self.state.cuts("download"):
            self._send(200, content[: len(content) // 2], headers)
            raise ConnectionError
        self._send(206 if begin else 200, content, headers)


def _sibling(path: str, content: bytes) -> dict[str, Any]:
    lfs = {"sha256": sha256(content), "size": len(content), "pointerSize": 134} if path.endswith(LARGE) else None
    return {"rfilename": path, "size": len(content), "blobId": blob_id(content)} | ({"lfs": lfs} if lfs else {})


_REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
ROUTES: list[tuple[str, Any]] = [
    ("GET /api/whoami-v2", Handler.whoami),
    ("POST /api/repos/create", Handler.create),
    ("POST /api/validate-yaml", Handler.validate_yaml),
    (f"POST /api/models/{_REPO}/branch/(?P<branch>.+)", Handler.branch),
    (f"POST /api/models/{_REPO}/preupload/(?P<revision>.+)", Handler.preupload),
    (f"POST /api/models/{_REPO}/commit/(?P<revision>.+)", Handler.commit),
    (f"POST /{_REPO}.git/info/lfs/objects/batch", Handler.batch),
    ("PUT /objects/(?P<oid>[0-9a-f]{64})", Handler.put),
    ("POST /objects/(?P<oid>[0-9a-f]{64})/verify", Handler.verify),
    (f"GET /api/models/{_REPO}/revision/(?P<revision>.+)", Handler.info),
    (f"GET /api/models/{_REPO}/tree/(?P<revision>.+)", Handler.tree),
    (f"GET /api/models/{_REPO}", Handler.info),
    (f"GET|HEAD /{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", Handler.file),
]
"""``METHODS path`` -> what answers it."""
