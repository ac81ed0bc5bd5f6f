#!/usr/bin/env python3
"""Writes the table of EC2 instance types that is built into sbrun.

    pip install moto
    python3 scripts/instance_types.py > src/model/instance_type/table.txt

The figures are those of DescribeInstanceTypes, as the package `moto` carries them. One type a line, sorted by name:

    <name> <architecture> <vCPUs> <MiB> <NVIDIA GPUs> <network interfaces> <IPv4 addresses per interface>

Network interfaces are those of the default network card, as the EKS node's own start-up program counts them.
Machines that run macOS are left out: no kubelet runs there.
"""

import gzip
import importlib.util
import json
import pathlib
import sys

ARCHITECTURES = {"arm64": "arm64", "x86_64": "amd64"}


def descriptions():
    """Returns DescribeInstanceTypes' answers by name."""
    package = importlib.util.find_spec("moto")
    if package is None:
        sys.exit("the package moto is not installed: pip install moto")
    resources = pathlib.Path(package.origin).parent / "ec2" / "resources"
    plain, packed = resources / "instance_types.json", resources / "instance_types.json.gz"
    if packed.exists():
        return json.loads(gzip.decompress(packed.read_bytes()))
    return json.loads(plain.read_bytes())


def gpus(description):
    """Returns how many `nvidia.com/gpu` the device plug-in of NVIDIA offers; a slice of a GPU counts as one."""
    found = description.get("GpuInfo", {}).get("Gpus", [])
    return sum(gpu.get("LogicalGpuCount", gpu["Count"]) for gpu in found if gpu["Manufacturer"] == "NVIDIA")


def interfaces(network):
    """Returns the number of network interfaces of the default network card."""
    for card in network.get("NetworkCards", []):
        if card["NetworkCardIndex"] == network.get("DefaultNetworkCardIndex", 0):
            return card["MaximumNetworkInterfaces"]
    return network["MaximumNetworkInterfaces"]


def main():
    for name, description in sorted(descriptions().items()):
        supported = description["ProcessorInfo"]["SupportedArchitectures"]
        architecture = next((ARCHITECTURES[one] for one in supported if one in ARCHITECTURES), None)
        if architecture is None:
            continue
        network = description["NetworkInfo"]
        fields = [
            name,
            architecture,
            description["VCpuInfo"]["DefaultVCpus"],
            description["MemoryInfo"]["SizeInMiB"],
            gpus(description),
            interfaces(network),
            network["Ipv4AddressesPerInterface"],
        ]
        print(*fields)


main()
