"""A real SuperLink and real SuperNodes on this machine, for tests that kill them. With TLS also keys and a proxy."""

import datetime
import ipaddress
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

APP = Path(__file__).parents[2] / "examples" / "flower"
NGINX_CONF = APP.parent / "deploy" / "nginx.conf"
# A busy machine may take minutes for what takes seconds.
PATIENCE = 600.0


def command(name: str) -> str:
    """A console script of this environment."""
    return str(Path(sys.executable).parent / name)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Look ten times a second; fail the test after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what} took more than {seconds:.0f} seconds")
        time.sleep(0.1)


def below(pid: int) -> list[int]:
    """A process and all its descendants, the youngest first."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [one for child in listed.stdout.split() for one in below(int(child))] + [pid]


def running_as(name: str, pid: int) -> list[int]:
    """Those of a process's descendants that run the console script `name`."""
    return [one for one in below(pid) if f"/{name}\0" in _command_line(one)]


def kill(pids: list[int]) -> None:
    """`kill -9`, all at once."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Deployment:
    """Processes by name, each with a log in `folder`; use as `with deployed(folder) as deployment`."""

    def __init__(self, folder: Path, *, tls: bool) -> None:
        self.folder, self.tls = folder, tls
        self.port, self.proxy_port = free_port(), free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = os.environ | {
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "FLWR_HOME": str(folder / "flwr"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        (folder / "flwr").mkdir(parents=True)
        if tls:
            _write_certificates(folder)
        security = f'root-certificates = "{folder}/ca.crt"' if tls else "insecure = true"
        links = {"link": self.port, "proxy": self.proxy_port}
        (folder / "flwr" / "config.toml").write_text(
            '[superlink]\ndefault = "link"\n'
            + "".join(f'[superlink.{name}]\naddress = "127.0.0.1:{port}"\n{security}\n' for name, port in links.items())
        )

    def start_superlink(self, *extra: str) -> None:
        """Start it (again, on the same state) and wait until it answers."""
        self.folder.joinpath("state").mkdir(exist_ok=True)
        own = ("--insecure",)
        if self.tls:
            files = {"ca-certfile": "ca.crt", "certfile": "server.pem", "keyfile": "server.key"}
            own = tuple(f"--ssl-{option}={self.folder / name}" for option, name in files.items())
            own += ("--enable-supernode-auth",)
        database = () if "--simulation" in extra else ("--database", str(self.folder / "state" / "superlink.db"))
        self._start("superlink", "flower-superlink", "--host=127.0.0.1", f"--port={self.port}", *own, *database, *extra)
        wait_until(lambda: self.flwr("list", "link").returncode == 0, "the SuperLink's start")

    def start_nginx(self) -> None:
        """The shipped configuration in front of the SuperLink, as a plain user."""
        folder, nginx = self.folder / "nginx", _nginx()
        folder.mkdir()
        site = _here(
            NGINX_CONF,
            {
                "/etc/collabdm/": f"{self.folder}/",
                "127.0.0.1:8000": f"127.0.0.1:{self.port}",
                "listen 8443": f"listen 127.0.0.1:{self.proxy_port}",
            },
        )
        parts = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{part}_temp_path {folder}/{part};\n" for part in parts)
        (folder / "nginx.conf").write_text(
            f"daemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
            f"http {{\naccess_log {folder}/access.log;\n{paths}{site}\n}}\n"
        )
        self._start("nginx", nginx, "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf")
        wait_until(lambda: _listens(self.proxy_port), "nginx's start")

    def start_node(self, name: str, node_config: str, *, key: Path | None = None) -> None:
        """A SuperNode: with a key through the proxy, else straight to the SuperLink."""
        security = ("--insecure",)
        if self.tls:
            security = (f"--root-certificates={self.folder}/ca.crt", f"--auth-supernode-private-key={key}")
        at = self.proxy_port if self.tls else self.port
        options = (f"--superlink=127.0.0.1:{at}", "--host=127.0.0.1", f"--port={free_port()}", *security)
        self._start(name, "flower-supernode", *options, "--node-config", node_config)

    def start_unit(self, name: str, replaced: Mapping[str, str]) -> None:
        """What the shipped systemd unit starts, in the environment that it names and no other."""
        (self.folder / "state").mkdir(exist_ok=True)
        paths = {"/opt/collabdm/bin": str(Path(sys.executable).parent), "/var/lib/collabdm": str(self.folder / "state")}
        unit = _here(APP.parent / "deploy" / f"collabdm-{name}.service", paths | dict(replaced)).replace("\\\n", " ")
        lines = [line.partition("=") for line in unit.splitlines() if not line.startswith("#")]
        given = [word for key, _, words in lines if key == "Environment" for word in shlex.split(words)]
        (start,) = [shlex.split(words) for key, _, words in lines if key == "ExecStart"]
        self._start(name, *start, environment=dict(word.split("=", 1) for word in given) | {"HOME": str(self.folder)})

    def flwr(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The `flwr` command, as the operator has it."""
        return subprocess.run(
            [command("flwr"), *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def run(self, run_config: str, *extra: str) -> str:
        """`flwr run`; returns the run's id."""
        ran = self.flwr("run", str(APP), "link", "--run-config", run_config, "--format", "json", *extra)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return str(json.loads(ran.stdout)["run-id"])

    def status(self, run: str) -> str:
        """As `flwr list` has it: `running`, `finished:completed`, ..."""
        listed = self.flwr("list", "link", "--format", "json")
        runs = json.loads(listed.stdout)["runs"] if listed.returncode == 0 else []
        return next((one["status"] for one in runs if str(one["run-id"]) == run), "")

    def wait_for(self, run: str) -> str:
        """The status in which a run ends."""
        wait_until(lambda: self.status(run).startswith("finished"), "the round")
        return self.status(run)

    def log(self, name: str) -> str:
        """What a process has written so far."""
        return self.folder.joinpath(f"{name}.log").read_text()

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def exit_code(self, name: str) -> int | None:
        return self._processes[name].poll()

    def kill(self, name: str) -> None:
        """`kill -9` to a process and all below it."""
        kill(below(self.pid(name)))
        self._processes.pop(name).wait()

    def stop(self) -> None:
        """End everything that was started here."""
        for name in list(self._processes):
            self.kill(name)

    def _start(self, name: str, program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        with open(self.folder / f"{name}.log", "ab") as log:
            self._processes[name] = subprocess.Popen(
                [program if program.startswith("/") else command(program), *arguments],
                env=self._environment if environment is None else environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


@contextmanager
def deployed(folder: Path, *, tls: bool = False) -> Iterator[Deployment]:
    """A deployment of which nothing is left at the end; what went wrong is printed for pytest to show."""
    deployment = Deployment(folder, tls=tls)
    try:
        yield deployment
    except BaseException:
        for log in sorted(folder.glob("*.log")):
            print(f"== {log.name}\n" + re.sub(r"\x1b\[[0-9;]*m", "", log.read_text())[-3000:])
        raise
    finally:
        deployment.stop()


def _here(shipped: Path, replaced: Mapping[str, str]) -> str:
    """A shipped configuration with this deployment's paths and ports."""
    text = shipped.read_text()
    for there, here in replaced.items():
        assert there in text, there
        text = text.replace(there, here)
    return text


def _nginx() -> str:
    """The program, installed where it is missing and that can be done."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    if shutil.which("nginx", path=path) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for action in (["update"], ["install", "-y", "nginx-light"]):
            subprocess.run(["apt-get", "-qq", *action], check=True, timeout=PATIENCE)
    found = shutil.which("nginx", path=path)
    if found is None:
        pytest.fail("no nginx: install it (apt-get install nginx-light)")
    return found


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _write_certificates(folder: Path) -> None:
    """ca.crt, server.pem and server.key, for this machine and a day."""
    now = datetime.datetime.now(datetime.UTC)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "localhost")}
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ca")])
    for name, file in (("ca", "ca.crt"), ("localhost", "server.pem")):
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer)
            .public_key(keys[name].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(keys["ca"], hashes.SHA256())
        )
        (folder / file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "server.key").write_bytes(keys["localhost"].private_bytes(serialization.Encoding.PEM, *private))


def write_key(path: Path) -> Path:
    """A node's key pair in OpenSSH's format: `path`, and `path`.pub."""
    key = ec.generate_private_key(ec.SECP384R1())
    openssh = serialization.PrivateFormat.OpenSSH
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, openssh, serialization.NoEncryption()))
    path.chmod(0o600)
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    path.with_name(f"{path.name}.pub").write_bytes(public + b"\n")
    return path
