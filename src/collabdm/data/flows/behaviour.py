"""How made-up flows of each type behave: lengths, sizes, states. Rough, and ours: nothing here is measured traffic.

Floods are short and alike, scans meet refused and silent ports, slow-rate connections stay open and send next to
nothing, benign traffic is broad.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["BEHAVIOURS", "Behaviour", "columns_of"]

# The levels of Combined.csv and a value of the byte (type of service) they are the names of.
_SOURCE_DSB = {
    "cs0": 0, "4": 16, "39": 156, "52": 208, "54": 216, "af11": 40, "af12": 48, "af41": 136, "cs4": 128,
    "cs6": 192, "cs7": 224, "ef": 184,
}  # fmt: skip
_REPLY_DSB = {"cs0": 0, "af11": 40, "af12": 48, "cs1": 32, "cs4": 128, "ef": 184}


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """One type: medians and spreads (of the logarithm) of duration in seconds, packets each way and bytes a packet.

    `states`: Argus states with their weights, of flows that were answered and that were not, by protocol.
    """

    seconds: tuple[float, float]
    packets: tuple[float, float]
    replies: tuple[float, float]
    size: tuple[float, float]
    reply_size: tuple[float, float]
    answered: Mapping[str, float]
    silent: Mapping[str, float]
    ttl: tuple[int, ...] = (64,)


_BENIGN_ANSWERED = {"CON": 70.0, "FIN": 20, "RST": 5, "ACC": 1, "RSP": 1, "TST": 0.2}
_BENIGN_SILENT = {"INT": 60.0, "REQ": 5, "CON": 30, "NRS": 1, "URP": 1, "TST": 0.5, "ECO": 1}

BEHAVIOURS: Mapping[str, Behaviour] = {
    "Benign": Behaviour(
        seconds=(0.8, 2.0), packets=(6, 1.2), replies=(7, 1.2), size=(220, 0.8), reply_size=(600, 0.7),
        answered=_BENIGN_ANSWERED, silent=_BENIGN_SILENT, ttl=(64, 64, 128, 255),
    ),
    "HTTPFlood": Behaviour(
        seconds=(2.5, 0.6), packets=(7, 0.3), replies=(6, 0.3), size=(150, 0.15), reply_size=(420, 0.2),
        answered={"FIN": 70, "RST": 20, "CON": 10}, silent={"REQ": 90, "RST": 10},
    ),
    "SlowrateDoS": Behaviour(
        seconds=(4.6, 0.15), packets=(4, 0.4), replies=(3, 0.4), size=(75, 0.1), reply_size=(70, 0.1),
        answered={"CON": 80, "FIN": 10, "RST": 10}, silent={"REQ": 95, "CON": 5},
    ),
    "SYNScan": Behaviour(
        seconds=(0.0004, 0.8), packets=(1, 0.1), replies=(1, 0.1), size=(58, 0.02), reply_size=(54, 0.02),
        answered={"RST": 97, "ACC": 3}, silent={"REQ": 100},
    ),
    "TCPConnectScan": Behaviour(
        seconds=(0.0012, 0.9), packets=(1.4, 0.3), replies=(1.1, 0.1), size=(74, 0.02), reply_size=(58, 0.05),
        answered={"RST": 90, "FIN": 10}, silent={"REQ": 100},
    ),
    "UDPScan": Behaviour(
        seconds=(0.0007, 0.9), packets=(1, 0.1), replies=(1, 0.1), size=(48, 0.2), reply_size=(72, 0.1),
        answered={"CON": 60, "URP": 40}, silent={"INT": 98, "URP": 2},
    ),
    "ICMPFlood": Behaviour(
        seconds=(4.9, 0.02), packets=(300, 0.3), replies=(290, 0.3), size=(42, 0.01), reply_size=(42, 0.01),
        answered={"ECO": 100}, silent={"ECO": 95, "URP": 5},
    ),
    "SYNFlood": Behaviour(
        seconds=(0.00005, 1.0), packets=(1.3, 0.3), replies=(1, 0.1), size=(54, 0.01), reply_size=(54, 0.01),
        answered={"ACC": 100}, silent={"REQ": 92, "RST": 8},
    ),
    "UDPFlood": Behaviour(
        seconds=(3.0, 0.5), packets=(3, 0.4), replies=(1, 0.1), size=(42, 0.02), reply_size=(42, 0.1),
        answered={"CON": 100}, silent={"INT": 99, "REQ": 1},
    ),
}  # fmt: skip


def columns_of(
    behaviour: Behaviour, proto: str, has: frozenset[str], count: int, draw: np.random.Generator
) -> dict[str, np.ndarray]:
    """`count` flows of one type and pattern: every column of the file but those of order and labels.

    Missing cells are NaN, and None in text columns. `has`: `replied`, `src_win`, `dst_win`, `src_vlan`, `dst_vlan`.
    """
    tcp, replied, addressed = proto == "tcp", "replied" in has, proto not in ("arp", "llc", "lldp")
    seconds = np.round(np.minimum(_spread(draw, behaviour.seconds, count), 3600), 6)
    sent = np.maximum(np.rint(_spread(draw, behaviour.packets, count)), 1)
    received = np.maximum(np.rint(_spread(draw, behaviour.replies, count)), 1) if replied else np.zeros(count)
    seconds = np.where(sent + received > 1, seconds, 0.0)
    sent_bytes = np.rint(sent * np.clip(_spread(draw, behaviour.size, count), 42, 1514))
    received_bytes = np.rint(received * np.clip(_spread(draw, behaviour.reply_size, count), 42, 1514))
    lost_sent, lost_received = (draw.binomial(p.astype(np.int64), 0.002).astype(float) for p in (sent, received))
    handshake = draw.exponential(0.002, count) if tcp and replied else np.zeros(count)
    acknowledged = draw.exponential(0.0005, count) if tcp and replied else np.zeros(count)
    states = behaviour.answered if replied else behaviour.silent
    if proto in ("icmp", "ipv6-icmp"):
        states = {"ECO": 80.0, "URP": 12, "NRS": 8}
    columns: dict[str, np.ndarray] = dict.fromkeys(("Dur", "RunTime", "Mean", "Sum", "Min", "Max"), seconds)
    columns |= {
        "Proto": np.full(count, proto, object),
        "Cause": _text(draw, {"Start": 40, "Status": 59.9, "Shutdown": 0.1}, count),
        "State": _text(draw, states, count),
        **_header_fields("s", behaviour.ttl, _SOURCE_DSB, count, draw, present=addressed),
        **_header_fields("d", (64, 128), _REPLY_DSB, count, draw, present=replied and addressed),
        **_each_way("{}Pkts", sent, received),
        **_each_way("{}Bytes", sent_bytes, received_bytes),
        "sMeanPktSz": sent_bytes / sent,
        "dMeanPktSz": received_bytes / np.maximum(received, 1),
        "Loss": lost_sent + lost_received,
        "SrcLoss": lost_sent,
        "DstLoss": lost_received,
        "pLoss": 100 * (lost_sent + lost_received) / (sent + received),
        **_rates(seconds, sent, received, sent_bytes, received_bytes),
        "SrcGap": _kept(np.zeros(count), tcp),
        "DstGap": _kept(np.zeros(count), tcp),
        "SrcTCPBase": _kept(draw.integers(2**32, size=count).astype(float), tcp),
        "DstTCPBase": _kept(draw.integers(2**32, size=count).astype(float), tcp and replied),
        "SrcWin": _kept(draw.choice([1024, 29200, 64240, 65535], count) * 1.0, "src_win" in has),
        "DstWin": _kept(draw.choice([14480, 28960, 65160, 65535], count) * 1.0, "dst_win" in has),
        "sVid": _kept(np.full(count, 610.0), "src_vlan" in has),
        "dVid": _kept(np.full(count, 610.0), "dst_vlan" in has),
        "TcpRtt": handshake + acknowledged,
        "SynAck": handshake,
        "AckDat": acknowledged,
    }
    return columns


def _header_fields(
    end: str, ttls: tuple[int, ...], levels: Mapping[str, int], count: int, draw: np.random.Generator, *, present: bool
) -> dict[str, np.ndarray]:
    """What the network header of one direction says, or nothing where there was none."""
    weights = np.array([len(levels) * 20.0] + [1.0] * (len(levels) - 1))
    chosen = draw.choice(len(levels), count, p=weights / weights.sum())
    hops = draw.integers(0, 12, count)
    names = np.array(list(levels), object) if present else np.array([None] * len(levels), object)
    return {
        f"{end}Tos": _kept(np.array(list(levels.values()))[chosen] * 1.0, present),
        f"{end}DSb": names[chosen],
        f"{end}Ttl": _kept(draw.choice(ttls, count) - hops * 1.0, present),
        f"{end}Hops": _kept(hops * 1.0, present),
    }


def _each_way(name: str, sent: np.ndarray, received: np.ndarray) -> dict[str, np.ndarray]:
    return {name.format("Tot"): sent + received, name.format("Src"): sent, name.format("Dst"): received}


def _rates(
    seconds: np.ndarray, sent: np.ndarray, received: np.ndarray, sent_bytes: np.ndarray, received_bytes: np.ndarray
) -> dict[str, np.ndarray]:
    """Bits and packets a second, as Argus counts them: a flow of one packet has none."""

    def a_second(amount: np.ndarray) -> np.ndarray:
        return np.where(seconds > 0, amount / np.maximum(seconds, 1e-6), 0.0)

    packets = {"Rate": sent + received, "SrcRate": sent, "DstRate": received}
    loads = {"Load": sent_bytes + received_bytes, "SrcLoad": sent_bytes, "DstLoad": received_bytes}
    rates = {name: a_second(np.maximum(count - 1, 0)) for name, count in packets.items()}
    return {name: a_second(8 * amount) for name, amount in loads.items()} | rates


def _spread(draw: np.random.Generator, median_and_spread: tuple[float, float], count: int) -> np.ndarray:
    median, spread = median_and_spread
    return median * np.exp(spread * draw.standard_normal(count))


def _text(draw: np.random.Generator, weights: Mapping[str, float], count: int) -> np.ndarray:
    shares = np.array(list(weights.values()), float)
    return np.array(list(weights), object)[draw.choice(len(shares), count, p=shares / shares.sum())]


def _kept(values: np.ndarray, present: bool) -> np.ndarray:
    return values if present else np.full(len(values), np.nan)
