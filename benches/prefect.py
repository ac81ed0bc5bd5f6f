#!/usr/bin/env python3
"""`sbrun submit --deployment … --detach` against `prefect deployment run`, and against the same calls of the API by curl.

All three create a run of the same deployment at the same size, in turn (A B C A B C), on a real Prefect server that has nothing else
to do; printed are medians, and a goal is judged by the median over the rounds. curl makes the calls of sbrun in one process and over
one connection, with nothing to decide and nothing to say. sbrun has a cluster to connect to, as on anybody's machine.

Exit status: 0, or 1 when a goal is missed (and which is said) or the measuring failed.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from against_kubectl import NAMESPACE, Bench, machine, run

RUNS = 21
LONGEST = 15 * 60
HERE = Path(__file__).resolve().parent
POOL = "flows"
DEPLOYMENT = "work/nightly"
SIZE = "small"
# In memory, as in the tests: with a file, SQLite's locks would be measured, too.
DATABASE = "sqlite+aiosqlite:///file::memory:?cache=shared&uri=true&check_same_thread=false"
MOST_OF_PREFECT = 1 / 5
MOST_MS_OVER_CURL = 30


class Prefect:
    """A real server, until its standard input closes."""

    def __init__(self, python, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.api = f"http://127.0.0.1:{port}/api"
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder), "DO_NOT_TRACK": "1", "PREFECT_API_URL": self.api}
        own = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_SERVER_DATABASE_CONNECTION_URL": DATABASE, "PREFECT_API_BLOCKS_REGISTER_ON_START": "false"}
        argv = [python, "-B", str(HERE.parent / "tests/prefect/run.py"), "server", "start", "--no-ui", "--host", "127.0.0.1", "--port", str(port)]
        self.log = (folder / "server.log").open("wb")
        self.process = subprocess.Popen(argv, env={**self.env, **own}, stdin=subprocess.PIPE, stdout=self.log, stderr=self.log)

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.api + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def await_start(self):
        for _ in range(900):
            with contextlib.suppress(OSError):
                return self.call("GET", "/health")
            time.sleep(0.1)
        raise SystemExit(f"no Prefect server after 90 s: {self.log.name}")

    def deploy(self):
        """Makes the deployment, and says of the pool that a worker is there: whoever runs a flow need not be told otherwise."""
        flow, name = DEPLOYMENT.split("/")
        flow_id = self.call("POST", "/flows/", {"name": flow})["id"]
        deployment = {"name": name, "flow_id": flow_id, "work_pool_name": POOL, "entrypoint": "flows.py:work"}
        self.deployment = self.call("POST", "/deployments/", deployment)["id"]
        self.call("POST", f"/work_pools/{POOL}/workers/heartbeat", {"name": "idle"})

    def end(self):
        self.process.stdin.close()
        self.process.wait(30)


def curl_argv(prefect, folder):
    """Returns one curl that makes the calls of a submission, one after the other."""
    post = ["-H", "Content-Type: application/json", "-d"]
    new = {"parameters": {}, "job_variables": {"size": SIZE, "labels": {"sbrun.dev/user": "ana"}}, "tags": ["sbrun"]}
    calls = [
        [f"{prefect.api}/deployments/name/{DEPLOYMENT}"],
        [f"{prefect.api}/work_pools/{POOL}"],
        [*post, '{"limit": 200}', f"{prefect.api}/work_pools/{POOL}/workers/filter"],
        [*post, json.dumps(new), f"{prefect.api}/deployments/{prefect.deployment}/create_flow_run"],
    ]
    argv = [shutil.which("curl"), "--config", "/dev/null"]
    for index, call in enumerate(calls):
        argv += [*(["--next"] if index else []), "-sS", "--fail", "-o", str(folder / f"answer-{index}"), *call]
    return argv


def runs_of(prefect):
    return prefect.call("POST", "/flow_runs/count", {"deployments": {"id": {"any_": [prefect.deployment]}}})


def measure(options, folder):
    prefect = Prefect(options.prefect, folder)
    bench = None
    try:
        options.cluster = os.path.abspath(options.cluster)
        bench = Bench(options, "kwok", folder)
        prefect.await_start()
        bench.env |= {"PREFECT_API_URL": prefect.api, "SBRUN_NAMESPACE": NAMESPACE}
        shape = json.loads(Path("instance-map.yaml").read_text())
        shape["prefect"] = {"api_url": "http://prefect.prefect:4200/api", "work_pool": POOL}
        bench.write("instance-map.yaml", shape)
        bench.ask([options.sbrun, "prefect", "pool", "create", "--on-reclaim", "crash", "--default-size", SIZE])
        prefect.deploy()
        client = {**prefect.env, "HOME": str(folder / "home")}
        sides = {
            "sbrun": ([options.sbrun, "submit", "--deployment", DEPLOYMENT, "-s", SIZE, "--detach", "-o", "name"], bench.env),
            "prefect": ([options.prefect, "-m", "prefect", "deployment", "run", DEPLOYMENT, "-jv", f"size={SIZE}"], client),
            "curl": (curl_argv(prefect, folder), client),
        }
        samples = {name: [] for name in sides}
        for index in range(options.runs + 1):
            for name, (argv, env) in sides.items():
                before = runs_of(prefect)
                sample = run(argv, env)
                if runs_of(prefect) != before + 1:
                    raise SystemExit(f"{name} made no run")
                if index > 0:
                    samples[name].append(sample)
        return samples
    finally:
        os.chdir("/")
        if bench:
            bench.end()
        prefect.end()


def report(samples):
    """Prints the medians and returns which goals are missed."""
    walls = {name: [sample.wall * 1000 for sample in side] for name, side in samples.items()}
    cpus = {name: statistics.median(sample.cpu * 1000 for sample in side) for name, side in samples.items()}
    print("| | ms | CPU ms |\n|---|---|---|")
    for name, what in (("sbrun", "`sbrun submit --deployment --detach`"), ("prefect", "`prefect deployment run`"), ("curl", "the same calls by curl")):
        print(f"| {what} | {statistics.median(walls[name]):.1f} | {cpus[name]:.1f} |")
    share = statistics.median(ours / theirs for ours, theirs in zip(walls["sbrun"], walls["prefect"]))
    over = statistics.median(ours - theirs for ours, theirs in zip(walls["sbrun"], walls["curl"]))
    goals = [
        ("time, against `prefect deployment run`", f"{share:.3f}", f"≤ {MOST_OF_PREFECT:g}", share <= MOST_OF_PREFECT),
        ("time over that of curl", f"{over:+.1f} ms", f"≤ {MOST_MS_OVER_CURL} ms", over <= MOST_MS_OVER_CURL),
    ]
    print("\n| what | | goal | |\n|---|---|---|---|")
    for what, found, goal, met in goals:
        print(f"| {what} | {found} | {goal} | {'met' if met else 'MISSED'} |")
    return [f"{what}: {found}, goal {goal}" for what, found, goal, met in goals if not met]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("sbrun", "kubectl", "cluster"):
        parser.add_argument(f"--{name}", required=True, type=os.path.abspath, help="path of the program")
    parser.add_argument("--prefect", required=True, type=os.path.abspath, help="a Python with Prefect")
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of each (%(default)s)")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"took longer than {LONGEST // 60} minutes"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    signal.alarm(LONGEST)
    print(f"{machine()}, {options.runs} rounds\n")
    with tempfile.TemporaryDirectory(prefix="sbrun-bench-") as folder:
        missed = report(measure(options, Path(folder)))
    for line in missed:
        print(f"goal missed: {line}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
