#!/usr/bin/env python3
"""`sbrun clean` of many finished jobs, against kubectl deleting the same jobs.

Each round makes fresh jobs for each contender in turn (A B A B): Jobs as sbrun makes them, marked as complete, each with one pod that the
garbage collector has to remove. No round begins before it has. kubectl is at its best here: built alone, its discovery cache warm, and told
not to wait until it sees each object gone (`--wait=false`), as sbrun does not either. It deletes one after the other.

For scale, and without a goal: kubectl twenty times at once, each on a twentieth of the jobs, which is what sbrun has under way; and the one
request that deletes a whole collection, running jobs and changed ones too. Both are as fast as the server, which on a small machine has the
processors for itself then.

Every contender must leave no job and no pod, or nothing it took counts.

Exit status: 0, or 1 when a goal is missed (and which is said) or the measuring failed.
"""

import argparse
import concurrent.futures
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from against_kubectl import Sample, become_reaper, machine, reap, spawn
from nodes import Server

NAMESPACE = "flows"
SELECTOR = "app.kubernetes.io/managed-by=sbrun"
PART = "bench/part"
PARTS = 20
AT_ONCE = 12
# The most that sbrun may take, however many jobs there are.
PEAK_MIB = 64
# Only what makes namespaces usable and what removes orphans: nothing may run here.
CLUSTER = [
    "--controller-manager-arg=--controllers=namespace-controller,serviceaccount-controller,garbage-collector-controller",
    "--controller-manager-arg=--allocate-node-cidrs=false",
    "--controller-manager-arg=--kube-api-qps=2000",
    "--controller-manager-arg=--kube-api-burst=2000",
]


def create(server, template, number, kind):
    """Creates one Job that is complete, and its pod."""
    jobs = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
    name = f"{kind}-{number:06}"
    metadata = {**template["metadata"], "name": name, "labels": {**template["metadata"]["labels"], PART: str(number % PARTS), "sbrun.dev/run-id": name}}
    job = server.call("POST", jobs, {**template, "metadata": metadata})
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    condition = lambda kind: {"type": kind, "status": "True", "reason": "CompletionsReached", "lastProbeTime": now, "lastTransitionTime": now}
    job["status"] = {
        "startTime": now,
        "completionTime": now,
        "succeeded": 1,
        "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
    }
    server.call("PUT", f"{jobs}/{name}/status", job)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True}
    # A pod of a job that is over has long left the scheduler's hands.
    pod = {**job["spec"]["template"], "spec": {**job["spec"]["template"]["spec"], "schedulerName": "nobody"}}
    metadata = {"name": f"{name}-abcde", "labels": pod["metadata"]["labels"], "annotations": pod["metadata"]["annotations"], "ownerReferences": [owner]}
    server.call("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]})


def populate(server, template, jobs, kind):
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda number: create(server, template, number, kind), range(jobs)):
            pass


def is_empty(server, path):
    return not server.call("GET", f"{path}?limit=1&labelSelector={SELECTOR.replace('/', '%2F').replace('=', '%3D')}")["items"]


def until_empty(server, who):
    """What leaves something behind must not count as fast."""
    if not is_empty(server, f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"):
        raise SystemExit(f"{who} left jobs behind")
    for _ in range(1200):
        if is_empty(server, f"/api/v1/namespaces/{NAMESPACE}/pods"):
            return
        time.sleep(0.5)
    raise SystemExit(f"{who} left pods behind")


def measured(argvs, env):
    """Runs commands at the same time and returns what they took together, and the peak memory of the largest in MiB.

    As in `peak`, a small shell forks each of them, so that this process's own memory does not count.
    """
    become_reaper()
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        began = time.perf_counter()
        pids = []
        for argv in argvs:
            stdout.seek(0)
            stdout.truncate()
            shell = ["/bin/sh", "-c", '"$@" > /dev/null & echo $!', "sh", *argv]
            reap(spawn(shell, env, stdout.fileno(), stderr.fileno()), shell, stderr)
            stdout.seek(0)
            pids.append((int(stdout.read()), argv))
        usages = [reap(pid, argv, stderr) for pid, argv in pids]
        wall = time.perf_counter() - began
    return Sample(wall, sum(usage.ru_utime + usage.ru_stime for usage in usages)), max(usage.ru_maxrss for usage in usages) / 1024


def contenders(options):
    """Returns every contender: what it is called, and the commands that it runs at the same time."""
    kubectl = [options.kubectl, "-n", NAMESPACE, "delete"]
    jobs = [*kubectl, "jobs", "--wait=false", "-l"]
    collection = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs?propagationPolicy=Background&labelSelector={SELECTOR.replace('=', '%3D')}"
    return {
        "sbrun": ("`sbrun clean`", [[options.sbrun, "clean", "-n", NAMESPACE]]),
        "kubectl": ("`kubectl delete jobs -l … --wait=false`", [[*jobs, SELECTOR]]),
        "twenty": (f"the same, {PARTS} at once", [[*jobs, f"{SELECTOR},{PART}={part}"] for part in range(PARTS)]),
        "collection": ("for scale: one request, `kubectl delete --raw`", [[options.kubectl, "delete", "--raw", collection]]),
    }


def job_template(options, env, folder):
    """Returns the manifest that sbrun would send for a flow."""
    work = folder / "work"
    work.mkdir()
    size = {"footprint": {"cpu": "50m", "memory": "128Mi"}, "node_selector": {"sbrun.dev/size": "small"}, "tolerations": []}
    (work / "instance-map.yaml").write_text(json.dumps({"version": 1, "defaults": {"image": "python:3"}, "sizes": {"small": size}}))
    (work / "flow.py").write_text("print('hello')\n")
    argv = [options.sbrun, "submit", "-s", "small", "-n", NAMESPACE, "--dry-run=client", "-o", "json", "flow.py"]
    done = subprocess.run(argv, env=env, cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    (job,) = (item for item in json.loads(done.stdout)["items"] if item["kind"] == "Job")
    return job


def measure(options, folder):
    process = subprocess.Popen([options.cluster, "kwok", "--dir", str(folder / "cluster"), *CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        line = process.stdout.readline()
        if not line:
            raise SystemExit("the cluster did not start")
        ready = json.loads(line)
        server = Server(ready)
        server.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        while not server.call("GET", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts?limit=1")["items"]:
            time.sleep(0.5)
        (folder / "home").mkdir()
        env = {"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "KUBECONFIG": ready["kubeconfig"], "SBRUN_USER": "ana"}
        template = job_template(options, env, folder)
        subprocess.run([options.kubectl, "get", "jobs", "-n", NAMESPACE], env=env, check=True, capture_output=True)  # warms its discovery cache
        took = {kind: [] for kind in contenders(options) if kind not in options.without}
        peaks = {kind: [] for kind in took}
        for number in range(options.rounds):
            for kind in took:
                _, argvs = contenders(options)[kind]
                populate(server, template, options.jobs, f"{kind}-{number}")
                time.sleep(options.settle)
                sample, peak = measured(argvs, env)
                until_empty(server, kind)
                took[kind].append(sample)
                peaks[kind].append(peak)
                print(f"round {number + 1}, {kind}: {sample.wall:.1f} s, {peak:.0f} MiB", file=sys.stderr, flush=True)
        return took, peaks
    finally:
        process.stdin.close()
        process.wait(120)


def report(options, about, took, peaks):
    median = lambda values: statistics.median(values)
    print(f"{about}; {options.jobs} jobs\n\n| | seconds | jobs a second | CPU seconds | peak MiB |\n|---|---|---|---|---|")
    for kind, samples in took.items():
        wall = median([sample.wall for sample in samples])
        peak = f"{median(peaks[kind]):.0f}"
        cells = [contenders(options)[kind][0], f"{wall:.1f}", f"{options.jobs / wall:.0f}", f"{median([sample.cpu for sample in samples]):.1f}", peak]
        print(f"| {' | '.join(cells)} |")
    ratio = lambda other: median([ours.wall / theirs.wall for ours, theirs in zip(took["sbrun"], took[other])])
    goals = [(f"time, against {contenders(options)[kind][0]}", ratio(kind), 0.5) for kind in ("kubectl",) if kind in took]
    goals.append(("peak memory of sbrun in MiB, whatever the number of jobs", max(peaks["sbrun"]), PEAK_MIB))
    print("\n| what | value | goal | |\n|---|---|---|---|")
    for what, value, goal in goals:
        print(f"| {what} | {value:.3f} | ≤ {goal:g} | {'met' if value <= goal else 'MISSED'} |")
    missed = [f"{what}: {value:.3f}" for what, value, goal in goals if value > goal]
    for line in missed:
        print(f"goal missed: {line}", file=sys.stderr)
    return 1 if missed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("sbrun", "kubectl", "cluster"):
        parser.add_argument(f"--{name}", required=True, type=os.path.abspath, help="path of the program")
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs that each contender removes in a round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--settle", type=float, default=3, help="seconds of rest between making jobs and removing them")
    parser.add_argument("--without", action="append", default=[], choices=["kubectl", "twenty", "collection"], help="leave this contender out (can be repeated)")
    options = parser.parse_args()
    # Making a job with its pod is three requests, and a busy machine answers some hundred a second.
    longest = 600 + options.rounds * options.jobs // 5
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"took longer than {longest // 60} minutes"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    signal.alarm(longest)
    about = machine()
    with tempfile.TemporaryDirectory(prefix="sbrun-bench-") as folder:
        took, peaks = measure(options, Path(folder))
    return report(options, about, took, peaks)


if __name__ == "__main__":
    sys.exit(main())
