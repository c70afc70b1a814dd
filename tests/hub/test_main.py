"""The command line as users run it: processes of their own, the environment as the only way to say where the Hub is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from daas.hub.__main__ import main
from tests.hub.server import TOKEN, Hub, serve

REPO = "ada/small"
Main = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_main(capsys: pytest.CaptureFixture[str]) -> Main:
    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


def test_from_a_run_to_a_strangers_model_in_processes_of_their_own(run_folder: Path, tmp_path: Path) -> None:
    """Export, push, verify, pull, load: nothing but environment variables tells the client where the Hub is."""
    script = (
        "import sys, timm, torch, daas; from daas.hub.__main__ import main\n"
        "run, folder, back, repo = sys.argv[1:]\n"
        "for line in (['export', run, folder], ['push', folder, repo], ['verify', repo], ['pull', repo, back]):\n"
        "    code = main(line); assert code == 0, (line, code)\n"
        "x = torch.rand(2, 3, 32, 32)\n"
        "names = (f'local-dir:{folder}', f'hf-hub:{repo}', f'local-dir:{back}')\n"
        "a, b, c = (timm.create_model(name, pretrained=True).eval()(x) for name in names)\n"
        "print('equal to the bit:', torch.equal(a, b) and torch.equal(a, c))\n"
        "print(daas.DAASPolicy.load(f'hf-hub:{repo}'))\n"
    )
    with serve() as hub:
        here = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "home")}
        arguments = [str(run_folder), str(tmp_path / "small"), str(tmp_path / "back"), REPO]
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], env={**os.environ, **here}, capture_output=True, text=True,
            timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert hub.repositories[REPO].titles == ["initial commit", "Upload small"]
    assert "equal to the bit: True" in done.stdout
    assert "DAASPolicy('chance', 225 sub-policies" in done.stdout
    assert TOKEN not in done.stdout + done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


def test_export_push_verify_pull(hub: Hub, run_main: Main, run_folder: Path, tmp_path: Path) -> None:
    code, out, _ = run_main("export", run_folder, tmp_path / "small", "--weights", "last")
    assert (code, "is ready" in out) == (0, True)
    code, out, _ = run_main("push", tmp_path / "small", REPO, "--dry-run")
    assert (code, "Dry run: nothing was sent." in out, hub.repositories) == (0, True, {})
    code, out, _ = run_main("push", tmp_path / "small", REPO, "--private", "--message", "First")
    assert code == 0
    assert f'timm.create_model("hf-hub:{REPO}@{hub.repositories[REPO].branches["main"]}", pretrained=True)' in out
    assert (hub.repositories[REPO].private, hub.repositories[REPO].titles[-1]) == (True, "First")
    code, out, _ = run_main("verify", REPO)
    assert (code, out.strip().endswith("everything is as it was exported")) == (0, True)
    code, out, _ = run_main("pull", REPO, tmp_path / "back")
    assert (code, out.strip().endswith("back: written")) == (0, True)


def test_faults_are_1(run_main: Main, repository: Path) -> None:
    (repository / "policy.json").write_text("{}")
    code, out, _ = run_main("verify", repository)
    assert code == 1
    assert "WRONG  policy.json is not the file that was exported" in out
    assert "2 fault(s)" in out


def test_no_connection_is_1(
    hub: Hub, run_main: Main, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://ada:secret@127.0.0.1:9")
    for arguments in (("push", repository, REPO), ("verify", REPO), ("pull", REPO, tmp_path / "back")):
        code, out, err = run_main(*arguments)
        assert code == 1
        assert "connection to the Hub failed" in err
        assert "secret" not in out + err


def test_bad_input_is_2(
    hub: Hub, run_main: Main, run_folder: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "W" * 34)
    for arguments, message in (
        (("export", tmp_path / "nothing", tmp_path / "out"), "no run folder"),
        (("export", run_folder, tmp_path / "out", "--license", "mit"), "needs its text"),
        (("push", repository, REPO), "refuses the token"),
        (("push", repository, "small"), "write user/name"),
        (("verify", "nowhere"), "write user/name"),
        (("pull", REPO, repository), "nothing is written over"),
    ):
        code, _, err = run_main(*arguments)
        assert (code, err.startswith("error: ")) == (2, True)
        assert message in err
        assert "WWW" not in err


def test_force_is_asked_for(hub: Hub, run_main: Main, repository: Path) -> None:
    assert run_main("push", repository, REPO)[0] == 0
    hub.repositories[REPO].commit("main", {"a.txt": b"a"}, "another tool")
    assert run_main("push", repository, REPO)[0] == 2
    code, out, _ = run_main("push", repository, REPO, "--force")
    assert (code, "did not come from here, for example a.txt" in out) == (0, True)


def test_interrupted_is_130(run_main: Main, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("daas.hub.__main__.verify", stop)
    code, _, err = run_main("verify", repository)
    assert (code, "Stopped" in err) == (130, True)
