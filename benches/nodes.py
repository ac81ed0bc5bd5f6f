#!/usr/bin/env python3
"""`sbrun nodes` on a large cluster, against kubectl and against a plain download of the same lists.

1,000 nodes in four node groups and 50,000 running pods of Jobs, as objects: nothing is behind them. All three run in turn (A B C A B C); printed are medians, and
a goal is judged by the median of the ratios. The download is curl's, unpaged and without looking at what comes: no client that reads
these lists can be quicker than the server writes them. What sbrun says has to be right to count.

Making the cluster takes some minutes, more than measuring it.

Exit status: 0, or 1 when a goal is missed (and which is said) or the measuring failed.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from against_kubectl import machine, peak, run

SIZES = ["small", "medium", "large", "xlarge"]
NAMESPACE = "flows"
LONGEST = 60 * 60
BEGAN = "2026-11-01T06:00:00Z"
AT_ONCE = 12
# The controllers have nothing to do here and would only be in the way.
CLUSTER = ["--controller-manager-arg=--controllers=namespace-controller,serviceaccount-controller", "--controller-manager-arg=--allocate-node-cidrs=false"]


class Server:
    """The API server, by one connection for each thread."""

    def __init__(self, ready):
        self.host = ready["server"].split("//")[1]
        self.headers = {"Authorization": f"Bearer {ready['token']}", "Content-Type": "application/json"}
        self.context = ssl._create_unverified_context()
        self.local = threading.local()

    def call(self, method, path, body=None):
        for attempt in range(5):
            if not hasattr(self.local, "connection"):
                self.local.connection = http.client.HTTPSConnection(self.host, context=self.context, timeout=120)
            try:
                self.local.connection.request(method, path, None if body is None else json.dumps(body), self.headers)
                response = self.local.connection.getresponse()
                text = response.read()
            except (OSError, http.client.HTTPException):
                del self.local.connection
                continue
            if response.status in (429, 500, 503, 504):
                time.sleep(1 << attempt)
                continue
            if response.status >= 300 and response.status != 409:
                raise SystemExit(f"{method} {path}: {response.status} {text[:300].decode(errors='replace')}")
            return json.loads(text)
        raise SystemExit(f"{method} {path}: no answer")


def node_name(number):
    return f"ip-10-0-{number // 250}-{number % 250}.eu-west-1.compute.internal"


def node(number):
    size, room = SIZES[number % len(SIZES)], {"cpu": "16", "memory": "128Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    labels = {
        "sbrun.dev/size": size,
        "kubernetes.io/hostname": node_name(number),
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "r5.4xlarge",
        "topology.kubernetes.io/zone": f"eu-west-1{'abc'[number % 3]}",
        "eks.amazonaws.com/nodegroup": f"flows-{size}",
        "eks.amazonaws.com/capacityType": "SPOT",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node_name(number), "labels": labels, "annotations": {"node.alpha.kubernetes.io/ttl": "0"}},
        "spec": {"providerID": f"aws:///eu-west-1a/i-{number:017x}"},
        "status": {"capacity": room, "allocatable": room, "conditions": conditions("MemoryPressure", "DiskPressure", "PIDPressure", Ready="True")},
    }


def conditions(*kinds, **others):
    states = {**dict.fromkeys(kinds, "False"), **others}
    return [{"type": kind, "status": status, "lastTransitionTime": BEGAN, "reason": f"Kubelet{kind}", "message": "as the kubelet says"} for kind, status in states.items()]


def running(number):
    """A pod's status as the kubelet writes it once the pod runs."""
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    flow = {
        "name": "flow",
        "image": "registry.example/flows:2026-11",
        "imageID": f"registry.example/flows@sha256:{number:064x}",
        "containerID": f"containerd://{number:064x}",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "lastState": {},
        "state": {"running": {"startedAt": BEGAN}},
    }
    kinds = {kind: "True" for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")}
    return {
        "phase": "Running",
        "conditions": [{"type": kind, "status": status, "lastTransitionTime": BEGAN} for kind, status in kinds.items()],
        "hostIP": "10.0.0.1",
        "hostIPs": [{"ip": "10.0.0.1"}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": BEGAN,
        "containerStatuses": [flow],
    }


def pod(number, nodes):
    """A pod as sbrun's Jobs make them, with a node already: the scheduler would take ten minutes."""
    on = number % nodes
    size, job = SIZES[on % len(SIZES)], f"etl-{number % 97}-{number:010x}"
    uid = f"00000000-0000-4000-8000-{number:012x}"
    labels = {
        "app.kubernetes.io/managed-by": "sbrun",
        "sbrun.dev/size": size,
        "sbrun.dev/run-id": f"run-{number:08x}",
        "sbrun.dev/user": "ana",
        "batch.kubernetes.io/job-name": job,
        "batch.kubernetes.io/controller-uid": uid,
    }
    annotations = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid, "controller": True, "blockOwnerDeletion": True}
    container = {
        "name": "flow",
        "image": "registry.example/flows:2026-11",
        "command": ["python3", "flow.py"],
        "env": [{"name": "PYTHONUNBUFFERED", "value": "1"}],
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "512Mi"}},
    }
    spec = {
        "nodeName": node_name(on),
        "nodeSelector": {"sbrun.dev/size": size},
        "restartPolicy": "Never",
        "activeDeadlineSeconds": 21600,
        "containers": [container],
    }
    metadata = {"name": f"{job}-abcde", "labels": labels, "annotations": annotations, "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def populate(server, nodes, pods):
    """Creates everything, nodes that are ready and pods that run: no kubelet, real or simulated, could be as quick."""
    began = time.monotonic()
    say = lambda what: print(f"{what} after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    server.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    while "message" in server.call("GET", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts?limit=1") or not server.call(
        "GET", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts?limit=1"
    )["items"]:
        time.sleep(0.5)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda number: server.call("POST", "/api/v1/nodes", node(number)), range(nodes)):
            pass
        say(f"{nodes} nodes")

        def create(number):
            made = server.call("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", pod(number, nodes))
            made["status"].update(running(number))
            server.call("PUT", f"/api/v1/namespaces/{NAMESPACE}/pods/{made['metadata']['name']}/status", made)

        for done, _ in enumerate(pool.map(create, range(pods)), 1):
            if done % 10_000 == 0:
                say(f"{done} running pods")


def check(argv, env, nodes, pods):
    """What is wrong must not count as fast."""
    done = subprocess.run([*argv, "-o", "json"], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    groups = json.loads(done.stdout)["node_groups"]
    total = lambda field: sum(group[field] for group in groups)
    seen = (len(groups), total("ready"), total("busy"), total("jobs_running"), sum(group["requests"]["cpu_millicores"] for group in groups))
    expected = (len(SIZES), nodes, nodes, pods, pods * 100)
    if seen != expected:
        raise SystemExit(f"`sbrun nodes` says {seen} instead of {expected}")


def measure(options, folder):
    folder = Path(folder)
    process = subprocess.Popen(
        [options.cluster, "kwok", "--dir", str(folder / "cluster"), *CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        line = process.stdout.readline()
        if not line:
            raise SystemExit("the cluster did not start")
        ready = json.loads(line)
        populate(Server(ready), options.nodes, options.pods)
        sizes = {
            size: {"node_group": f"flows-{size}", "footprint": {"cpu": "100m", "memory": "512Mi"}, "node_selector": {"sbrun.dev/size": size}}
            for size in SIZES
        }
        path = folder / "instance-map.yaml"
        path.write_text(json.dumps({"version": 1, "cluster": {"namespace": NAMESPACE}, "sizes": sizes}))
        (folder / "home").mkdir()
        # No AWS here: the address leads nowhere, and is refused at once.
        env = {"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "KUBECONFIG": ready["kubeconfig"], "AWS_EC2_METADATA_DISABLED": "true"}
        sbrun = [options.sbrun, "nodes", "--map", str(path)]
        kubectl = [options.kubectl, "get", "nodes,pods", "-A", "-o", "json"]
        urls = [f"{ready['server']}/api/v1/{kind}" for kind in ("nodes", "pods")]
        # By its usual name the server would indent for it.
        curl = [shutil.which("curl"), "-sSfk", "-A", "plain", "-H", f"Authorization: Bearer {ready['token']}", *urls]
        check(sbrun, env, options.nodes, options.pods)
        time.sleep(options.settle)
        times = {name: [] for name in ("sbrun", "curl", "kubectl")}
        memory = {name: [] for name in times}
        for number in range(options.runs + 1):
            for name, argv in (("sbrun", sbrun), ("curl", curl), ("kubectl", kubectl)):
                sample = run(argv, env)
                if number > 0:  # the first warms up caches of server and machine
                    times[name].append(sample)
        for name, argv in (("sbrun", sbrun), ("curl", curl), ("kubectl", kubectl)):
            memory[name].append(peak(argv, env))
        size = sum(int(subprocess.run([*curl[:-2], "-o", os.devnull, "-w", "%{size_download}", url], capture_output=True, text=True, check=True).stdout) for url in urls)
        return times, memory, size
    finally:
        process.stdin.close()
        process.wait(120)


def report(about, times, memory, size):
    wall = {name: statistics.median(sample.wall for sample in samples) for name, samples in times.items()}
    cpu = {name: statistics.median(sample.cpu for sample in samples) for name, samples in times.items()}
    peaks = {name: statistics.median(values) for name, values in memory.items()}
    ratio = lambda other: statistics.median(ours.wall / theirs.wall for ours, theirs in zip(times["sbrun"], times[other]))
    goals = [
        ("time, against `kubectl get nodes,pods -A -o json`", ratio("kubectl"), 1 / 10),
        ("peak memory, against the same", peaks["sbrun"] / peaks["kubectl"], 1 / 30),
        (f"time, against a plain download of {size / 2**20:.0f} MiB", ratio("curl"), 1.5),
    ]
    names = {"sbrun": "`sbrun nodes`", "curl": "plain download", "kubectl": "kubectl"}
    print(f"{about}\n\n| | seconds | CPU seconds | peak MiB |\n|---|---|---|---|")
    for name, title in names.items():
        print(f"| {title} | {wall[name]:.2f} | {cpu[name]:.2f} | {peaks[name]:.0f} |")
    print("\n| what | ratio | goal | |\n|---|---|---|---|")
    for what, value, goal in goals:
        print(f"| {what} | {value:.3f} | ≤ {goal:.3f} | {'met' if value <= goal else 'MISSED'} |")
    missed = [f"{what}: {value:.3f}" for what, value, goal in goals if value > goal]
    for line in missed:
        print(f"goal missed: {line}", file=sys.stderr)
    return 1 if missed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("sbrun", "kubectl", "cluster"):
        parser.add_argument(f"--{name}", required=True, type=os.path.abspath, help="path of the program")
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=3, help="rounds that count, after one that does not")
    parser.add_argument("--settle", type=int, default=30, help="seconds of rest between making the cluster and measuring it")
    options = parser.parse_args()
    if shutil.which("curl") is None:
        parser.error("curl is needed for the plain download")
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"took longer than {LONGEST // 60} minutes"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    signal.alarm(LONGEST)
    about = machine()
    with tempfile.TemporaryDirectory(prefix="sbrun-bench-") as folder:
        times, memory, size = measure(options, folder)
    return report(about, times, memory, size)


if __name__ == "__main__":
    sys.exit(main())
