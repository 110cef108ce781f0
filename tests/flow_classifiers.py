"""Tiny flows in the form of `ra`, and classifiers of them."""

from collections.abc import Sequence
from pathlib import Path

import torch

from collabdm.data.flows.dataset import images_of
from collabdm.data.flows.images import ImageSettings
from collabdm.data.flows.schema import load_schema
from collabdm.distilled.set import DistilledSet
from collabdm.images.modality import Images
from collabdm.images.pixels import Normalisation
from collabdm.randomness import Stream

HEADER = (
    "StartTime,SrcAddr,DstAddr,Dur,Proto,Sport,Dport,State,SrcPkts,DstPkts,SrcBytes,DstBytes,SrcLoad,DstLoad,"
    "SrcLoss,DstLoss,SrcRate,DstRate,SrcWin,DstWin,TcpRtt,SynAck,AckDat"
)
FLOWS = 4
SETTINGS = ImageSettings(
    flow_schema=load_schema("argus"), side=20, layout="rows", flows_per_image=FLOWS, window="time", attack_share=0.5
)


def flow_lines(kinds: Sequence[str], seed: int = 0) -> list[str]:
    """A line for each of "benign" and "scan", a second apart; benign ones from five hosts, scans from one."""
    draws = Stream(seed, "flow lines").integers(1000, (len(kinds), 4))
    lines = []
    for second, (kind, (port, size, packets, host)) in enumerate(zip(kinds, draws.tolist(), strict=True)):
        start, source = 1_700_000_000 + second, "10.0.0.9" if kind == "scan" else f"10.0.1.{host % 5}"
        if kind == "scan":
            tail = f"0.00001,tcp,{40_000 + port},{1 + 60 * port},RST,1,1,74,54,0,0,0,0,0,0,1024,0,0,0,0"
        else:
            count = 5 + packets % 20
            sent = 80 * count + size
            tail = (
                f"0.{100 + port},tcp,{40_000 + port},8080,FIN,{count},{count},{sent},{9 * sent},{8 * sent},{72 * sent},"
                f"0,0,{count},{count},65536,65536,0.0{10 + port % 90},0.005,0.005"
            )
        lines.append(f"{start}.5,{source},10.0.0.1,{tail}")
    return lines


def write_flows(path: Path, kinds: Sequence[str], *, seed: int = 0, labelled: bool = False) -> Path:
    """A CSV of such lines."""
    label = [f",{kind}" if labelled else "" for kind in kinds]
    lines = [line + end for line, end in zip(flow_lines(kinds, seed), label, strict=True)]
    path.write_text("\n".join([HEADER + (",Label" if labelled else ""), *lines]) + "\n")
    return path


def flow_set(folder: Path) -> DistilledSet:
    """A set of real images of such flows, as if distilled."""
    made = images_of(
        write_flows(folder / "training.csv", (["benign"] * 40 + ["scan"] * 40), seed=7, labelled=True),
        SETTINGS,
        test_share=0.0,
    )
    return DistilledSet(
        samples=(torch.from_numpy(made.images).float() / 255 - 0.5) / 0.5,
        labels=torch.from_numpy(made.labels),
        classes=("benign", "scan"),
        sample=Images(
            channels=1,
            height=SETTINGS.side,
            width=SETTINGS.side,
            normalisation=Normalisation(mean=(0.5,), std=(0.5,)),
        ),
        augment=(),
        method="random-real",
        facts={"flows": SETTINGS.model_dump(mode="json")},
    )
