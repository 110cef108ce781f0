"""Small real traffic on loopback, to be captured: benign requests, scans of our own test server, or both at once.

Every address is checked to be of 127.0.0.0/8 before a socket is made; there is no option that changes that. The
number of exchanges and the time are bounded. Nothing but the servers started here is ever addressed.

    python live_traffic.py --kind benign --seed 1 --exchanges 400
"""

import argparse
import http.client
import http.server
import ipaddress
import random
import socket
import socketserver
import threading
import time
from collections.abc import Callable

SERVER, HTTP_PORT, NAME_PORT, LINE_PORT = "127.77.0.1", 18080, 15353, 11883
DOWN = (18081, 15354)  # Services that clients know and nobody runs.
SCANNER = "127.77.9.9"
CLIENTS = tuple(f"127.77.1.{number}" for number in range(1, 7))
MOST_EXCHANGES, MOST_SECONDS = 2000, 60.0


def loopback(address: str) -> str:
    """The address, if it is of this machine's loopback; the script ends otherwise."""
    if ipaddress.ip_address(address) not in ipaddress.ip_network("127.0.0.0/8"):
        raise SystemExit(f"error: address: got {address}; expected 127.0.0.0/8; fix: this script stays on loopback")
    return address


def benign(rng: random.Random) -> None:
    """One ordinary exchange of a client with a service: a page, a name, a few short messages; some fail."""
    client, kind = rng.choice(CLIENTS), rng.random()
    if kind < 0.03:
        _look(client, rng.choice(DOWN), rng)
    elif kind < 0.45:
        web = http.client.HTTPConnection(loopback(SERVER), HTTP_PORT, timeout=2, source_address=(loopback(client), 0))
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            web.request("GET", f"/{int(min(rng.lognormvariate(7.5, 1.2), 60_000))}")
            web.getresponse().read()
            time.sleep(rng.uniform(0, 0.004))
        web.close()
    elif kind < 0.8:
        with _socket(socket.SOCK_DGRAM, client) as names:
            for _ in range(rng.choice((1, 1, 2))):
                names.sendto(rng.randbytes(rng.randint(24, 60)), (loopback(SERVER), NAME_PORT))
                names.recv(1024)
    else:
        with _socket(socket.SOCK_STREAM, client) as line:
            line.connect((loopback(SERVER), LINE_PORT))
            for _ in range(rng.randint(1, 8)):
                line.sendall(rng.randbytes(rng.randint(10, 200)).replace(b"\n", b".") + b"\n")
                line.recv(64)


def scan(rng: random.Random) -> None:
    """One port of our server looked at: connected to and left, or sent a datagram."""
    _look(SCANNER, rng.choice((HTTP_PORT, LINE_PORT)) if rng.random() < 0.02 else rng.randint(1, 10_000), rng)


def mixed(rng: random.Random) -> None:
    """Mostly scans, with ordinary exchanges among them."""
    (scan if rng.random() < 0.6 else benign)(rng)


def drive(act: Callable[[random.Random], None], *, seed: int, exchanges: int, seconds: float) -> int:
    """At most `exchanges` of them in at most `seconds`; returns how many there were."""
    rng, ends = random.Random(seed), time.monotonic() + min(seconds, MOST_SECONDS)
    for done in range(min(exchanges, MOST_EXCHANGES)):
        if time.monotonic() > ends:
            return done
        act(rng)
        time.sleep(min(rng.expovariate(200), 0.05))
    return min(exchanges, MOST_EXCHANGES)


def serve() -> list[socketserver.BaseServer]:
    """Our own web, name and line servers, in threads of this process."""
    servers: list[socketserver.BaseServer] = [
        # Not http.server's own: that one would ask a name server for our name.
        _Threads((loopback(SERVER), HTTP_PORT), _Pages),
        socketserver.UDPServer((loopback(SERVER), NAME_PORT), _Names),
        _Threads((loopback(SERVER), LINE_PORT), _Echo),
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return servers


class _Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        body = bytes(min(int(self.path[1:]), 60_000))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Names(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        question, sock = self.request
        sock.sendto(question + bytes(16 + 7 * (question[0] % 32)), self.client_address)


class _Threads(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _Echo(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(b"ok %d\n" % len(line))


def _look(source: str, port: int, rng: random.Random) -> None:
    with _socket(socket.SOCK_STREAM if rng.random() < 0.7 else socket.SOCK_DGRAM, source) as probe:
        if probe.type == socket.SOCK_STREAM:
            probe.connect_ex((loopback(SERVER), port))
        else:
            probe.sendto(b"", (loopback(SERVER), port))


def _socket(kind: socket.SocketKind, source: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    made.settimeout(2)
    made.bind((loopback(source), 0))
    return made


def main() -> None:
    """Serve, exchange, stop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("benign", "scan", "mixed"), required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--exchanges", type=int, default=400, help=f"at most {MOST_EXCHANGES}")
    parser.add_argument("--seconds", type=float, default=12.0, help=f"at most {MOST_SECONDS:.0f}")
    chosen = parser.parse_args()
    servers = serve()
    act = {"benign": benign, "scan": scan, "mixed": mixed}[chosen.kind]
    done = drive(act, seed=chosen.seed, exchanges=chosen.exchanges, seconds=chosen.seconds)
    time.sleep(0.2)
    for server in servers:
        server.shutdown()
        server.server_close()
    print(f"{chosen.kind}: {done} exchanges")


if __name__ == "__main__":
    main()
