"""The live path: real packets on loopback, argus, a round of two stations, verdicts on fresh captures."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
TOOLS = ("argus", "ra", "tcpdump")


def _traffic(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / "live_traffic.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_traffic_is_bounded_and_stays_on_loopback() -> None:
    # In a process of its own that may not make any other socket, whatever the script asks for.
    guard = f"""
import sys; sys.path.insert(0, {str(EXAMPLES)!r})
import random, socket
import live_traffic
def watch(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.sendto"):
        assert arguments[1][0].startswith("127."), arguments
    assert event not in ("socket.getaddrinfo", "socket.gethostbyaddr") or arguments[0].startswith("127."), arguments
    assert event != "socket.gethostbyaddr", arguments
sys.addaudithook(watch)
servers = live_traffic.serve()
for act in (live_traffic.benign, live_traffic.scan, live_traffic.mixed):
    assert live_traffic.drive(act, seed=1, exchanges=30, seconds=20) == 30
assert live_traffic.drive(live_traffic.scan, seed=1, exchanges=10**9, seconds=0.2) < live_traffic.MOST_EXCHANGES
for address in ("128.0.0.1", "10.0.0.1", "0.0.0.0", "8.8.8.8"):
    try:
        live_traffic.loopback(address)
    except SystemExit as error:
        assert "expected 127.0.0.0/8" in str(error)
    else:
        raise AssertionError(address)
print("ok")
"""
    found = subprocess.run([sys.executable, "-c", guard], capture_output=True, text=True, timeout=100, check=False)
    assert (found.returncode, found.stdout) == (0, "ok\n"), found.stderr


@pytest.mark.slow
def test_scans_are_flagged_and_benign_traffic_is_not(tmp_path: Path) -> None:
    _install()
    command = tmp_path / "collabdm"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from collabdm.cli import main; main()" "$@"\n')
    command.chmod(0o755)
    environment = os.environ | {
        "COLLABDM": str(command),
        "PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    done = subprocess.run(
        ["sh", str(EXAMPLES / "live-detect.sh"), str(tmp_path / "live")],
        capture_output=True,
        text=True,
        env=environment,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout[-3000:])
    lines = {
        kind: [json.loads(line) for line in (tmp_path / "live" / f"{kind}.jsonl").read_text().splitlines()]
        for kind in ("benign", "scan", "mixed")
    }
    whole = {kind: [line for line in found if not line["padded"]] for kind, found in lines.items()}
    assert all(len(found) >= 10 for found in whole.values())
    assert not any(line["flagged"] for line in lines["benign"])
    assert all(line["flagged"] for line in whole["scan"])
    assert sum(line["flagged"] for line in whole["mixed"]) >= len(whole["mixed"]) / 2
    for found in lines.values():
        assert all(line["last_time"] >= line["first_time"] > 1_500_000_000 for line in found)


def _install() -> None:
    """The tools, with apt where this may be done; else the test is skipped, and says why."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("capturing on lo needs Linux and root")
    if all(map(shutil.which, TOOLS)):
        return
    if shutil.which("apt-get") is None:
        pytest.skip(f"no apt-get to install {', '.join(TOOLS)} with")
    packages = ["argus-server", "argus-client", "tcpdump"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": False, "timeout": 300}
    for step in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", *step], env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, **quiet)
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"apt-get could not install {', '.join(missing)}")
