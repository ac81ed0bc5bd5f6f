#!/usr/bin/env python3
"""sbrun against kubectl, side by side: start-up, submission, log throughput, peak memory.

Both run in turn (A B A B) against the same cluster: on a machine that others use too, the ratio of a pair says more
than either time. Printed are medians; a goal is judged by the median of the pairs' ratios. kubectl is at its best
here: built alone, its discovery cache warm, asked for the pod by name.

Exit status: 0, or 1 when a goal is missed (and which is said) or the measuring failed.
"""

import argparse
import contextlib
import ctypes
import dataclasses
import functools
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NAMESPACE = "bench"
# What the container of the flow is called in the Jobs that sbrun makes.
CONTAINER = "flow"
LOG_BYTES = 200_000_000
LINE_BYTES = 100
# Of both, most of the time goes by in the kubelet and the API server: two equal clients differ by this much.
NOISE = 0.05
# A whole run takes some 15 minutes on two cores, most of it for the logs.
LONGEST = 30 * 60
RUNS = {"startup": 25, "submit": 15, "logs": 3, "memory": 2}
PR_SET_CHILD_SUBREAPER = 36


@dataclasses.dataclass
class Sample:
    """What one process took: seconds on the clock, seconds of user and system CPU, and bytes that came out."""

    wall: float
    cpu: float
    size: int = 0


@dataclasses.dataclass
class Row:
    """One line of the result. `goal` bounds the ratio sbrun / kubectl from above, or for throughput from below."""

    part: str
    what: str
    unit: str
    sbrun: list
    kubectl: list
    goal: float | None = None
    at_least: bool = False
    cpu: tuple | None = None

    @property
    def ratio(self):
        if len(self.sbrun) != len(self.kubectl):
            return statistics.median(self.sbrun) / statistics.median(self.kubectl)
        return statistics.median(a / b for a, b in zip(self.sbrun, self.kubectl))

    @property
    def missed(self):
        if self.goal is None:
            return False
        return self.ratio < self.goal - NOISE if self.at_least else self.ratio > self.goal

    def cells(self):
        goal = "" if self.goal is None else f"{'≥' if self.at_least else '≤'} {self.goal:g}"
        cpu = "" if self.cpu is None else " / ".join(f"{statistics.median(side) * 1000:.{0 if self.unit == 'MB/s' else 1}f}" for side in self.cpu)
        verdict = "" if self.goal is None else ("MISSED" if self.missed else "met")
        values = (f"{statistics.median(side):.{0 if self.unit == 'requests' else 1}f} {self.unit}" for side in (self.sbrun, self.kubectl))
        return [self.part, self.what, *values, f"{self.ratio:.3f}", goal, verdict, cpu]

    def document(self):
        return {**dataclasses.asdict(self), "ratio": self.ratio, "missed": self.missed}


# ---- Processes


def spawn(argv, env, stdout, stderr):
    """Starts a program with these files as its output: nearer to the bare fork and exec than subprocess is."""
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, stdout, 1), (os.POSIX_SPAWN_DUP2, stderr, 2)]
    return os.posix_spawn(argv[0], argv, env, file_actions=actions)


@contextlib.contextmanager
def killed_at_the_end(pid):
    """Nothing that was started outlives an error."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        raise


def reap(pid, argv, stderr, expected=0):
    """Waits for a process, which must have ended well, and returns its resource usage."""
    with killed_at_the_end(pid):
        _, status, usage = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != expected:
        stderr.seek(0)
        raise SystemExit(f"{' '.join(argv)}\nended with {code}:\n{stderr.read().decode(errors='replace')[-2000:]}")
    return usage


def run(argv, env):
    """Runs a program to its end, without its output."""
    with open(os.devnull, "wb") as nothing, tempfile.TemporaryFile() as stderr:
        began = time.perf_counter()
        pid = spawn(argv, env, nothing.fileno(), stderr.fileno())
        usage = reap(pid, argv, stderr)
        return Sample(time.perf_counter() - began, usage.ru_utime + usage.ru_stime)


def run_until(argv, env, enough):
    """Runs a program that does not end by itself until so many bytes came out."""
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as pipe, tempfile.TemporaryFile() as stderr:
        began = time.perf_counter()
        pid = spawn(argv, env, writer, stderr.fileno())
        os.close(writer)
        size = 0
        with killed_at_the_end(pid):
            while size < enough and (chunk := pipe.read(1 << 20)):
                size += len(chunk)
            wall = time.perf_counter() - began
            os.kill(pid, signal.SIGKILL)
        usage = reap(pid, argv, stderr, -signal.SIGKILL)
        if size < enough:
            raise SystemExit(f"{' '.join(argv)}\nended after {size} bytes")
        return Sample(wall, usage.ru_utime + usage.ru_stime, size)


def become_reaper():
    """Makes this process the parent of whatever its children leave behind."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def peak(argv, env):
    """Returns the peak resident memory of a program in MiB.

    A process inherits the peak of what it was forked from, and Python's is larger than sbrun's: so a small shell forks
    it and leaves, and this process, as the reaper of orphans, waits for it.
    """
    become_reaper()
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        shell = ["/bin/sh", "-c", '"$@" > /dev/null & echo $!', "sh", *argv]
        reap(spawn(shell, env, stdout.fileno(), stderr.fileno()), shell, stderr)
        stdout.seek(0)
        usage = reap(int(stdout.read()), argv, stderr)
    return usage.ru_maxrss / 1024


def in_turn(runs, first, second):
    """Calls both in turn, once for nothing and then `runs` times; returns what they returned."""
    results = ([], [])
    for index in range(runs + 1):
        for results_of, call in zip(results, (first, second)):
            result = call()
            if index > 0:
                results_of.append(result)
    return results


def time_row(part, what, samples, goal=None):
    """Makes a row of times in milliseconds."""
    walls = [[sample.wall * 1000 for sample in side] for side in samples]
    return Row(part, what, "ms", *walls, goal=goal, cpu=tuple([sample.cpu for sample in side] for side in samples))


def throughput_row(what, samples):
    """Makes a row of megabytes in a second."""
    rates = [[(sample.size or LOG_BYTES) / 1e6 / sample.wall for sample in side] for side in samples]
    return Row("logs", what, "MB/s", *rates, goal=1, at_least=True, cpu=tuple([sample.cpu for sample in side] for side in samples))


# ---- The cluster


class Bench:
    """A cluster, a working directory with a flow and a map, and both programs with the same surroundings."""

    def __init__(self, options, tier, folder):
        self.options, self.folder = options, Path(folder)
        self.home = self.folder / "home"
        self.work = self.folder / "work"
        self.home.mkdir()
        self.work.mkdir()
        arguments = ["--audit"]
        if tier == "real":
            arguments += ["--images", options.images, "--node", "n1 labels=sbrun.dev/size=small", "--container-log-max-size", "1Gi"]
        argv = [options.cluster, tier, "--dir", str(self.folder / "cluster"), *arguments]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the cluster of tier {tier} did not start")
        self.ready = json.loads(line)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "KUBECONFIG": self.ready["kubeconfig"]}
        self.count = 0
        self.prepare(tier)

    def end(self):
        self.process.stdin.close()
        self.process.wait(60)

    def prepare(self, tier):
        os.chdir(self.work)
        objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
        if tier == "kwok":
            room = {"cpu": "64", "memory": "256Gi", "pods": "500"}
            labels = {"sbrun.dev/size": "small", "kubernetes.io/hostname": "small-1"}
            metadata = {"name": "small-1", "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}}
            objects.append({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": {"capacity": room, "allocatable": room}})
        self.write("objects.json", {"apiVersion": "v1", "kind": "List", "items": objects})
        self.ask(self.kubectl("apply", "-f", "objects.json"))
        size = {"footprint": {"cpu": "50m", "memory": "128Mi"}, "node_selector": {"sbrun.dev/size": "small"}, "tolerations": []}
        self.write("instance-map.yaml", {"version": 1, "defaults": {"image": "python:3"}, "sizes": {"small": size}})
        Path("flow.py").write_text("print('hello')\n")
        # A flow lives in a repository, and sbrun asks git about it.
        if git := shutil.which("git"):
            for arguments in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "flow"]):
                subprocess.run([git, *arguments], env=self.env, check=True)
        self.until(lambda: self.kubectl("get", "serviceaccount", "default"))

    def write(self, name, content):
        Path(name).write_text(json.dumps(content))  # JSON is YAML

    def sbrun(self, *arguments):
        return [self.options.sbrun, *arguments, "-n", NAMESPACE]

    def kubectl(self, *arguments):
        return [self.options.kubectl, *arguments, "-n", NAMESPACE]

    def ask(self, argv):
        """Returns the output of a command that must succeed."""
        done = subprocess.run(argv, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(argv)}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
        return done.stdout

    def until(self, command, holds=lambda _: True):
        """Repeats a command until it succeeds with output that `holds`, for a minute."""
        for _ in range(300):
            done = subprocess.run(command(), env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if done.returncode == 0 and holds(done.stdout):
                return done.stdout
            time.sleep(0.2)
        raise SystemExit(f"waited a minute for {' '.join(command())}: {done.stdout}{done.stderr}")

    def submit(self, *arguments):
        return self.sbrun("submit", "--size", "small", *arguments, "flow.py")

    def create(self):
        """Returns the command that creates a Job like sbrun's, under a name of its own."""
        if self.count == 0:
            documents = json.loads(self.ask(self.submit("--dry-run=client", "-o", "json")))["items"]
            (self.job,) = (document for document in documents if document["kind"] == "Job")
        self.count += 1
        self.job["metadata"]["name"] = f"kubectl-{self.count}"
        name = f"job-{self.count}.json"
        # Outside of the working directory: what lies there belongs to the flow.
        path = self.folder / name
        self.write(path, self.job)
        return self.kubectl("create", "-f", str(path))

    def requests(self, call, agent):
        """Calls, and returns the requests that a program made meanwhile, as `verb path`."""
        log = Path(self.ready["audit_log"])
        before = log.stat().st_size
        call()
        time.sleep(0.5)
        with log.open("rb") as file:
            file.seek(before)
            entries = [json.loads(line) for line in file]
        ours = [entry for entry in entries if entry.get("userAgent", "").startswith(agent) and entry["stage"] == "ResponseComplete"]
        return [f"{entry['verb']} {entry['requestURI'].split('?')[0]}" for entry in ours]

    def simulated_job(self, running_time):
        """Submits a Job whose simulated pod runs so long, and returns names of Job and pod once it has started."""
        template = {"spec": {"template": {"metadata": {"annotations": {"kwok.test/run": running_time}}}}}
        self.write(self.folder / "template.json", {"apiVersion": "batch/v1", "kind": "Job", **template})
        return self.job_and_pod(self.ask(self.submit("--template", str(self.folder / "template.json"), "--detach", "-o", "name")).strip())

    def job_and_pod(self, job):
        phase = ["get", "pods", "-l", f"job-name={job}", "-o", "jsonpath={.items[*].metadata.name} {.items[*].status.phase}"]
        output = self.until(lambda: self.kubectl(*phase), lambda text: text.endswith(("Running", "Succeeded")))
        return job, output.split()[0]

    @functools.cached_property
    def simulated_logs(self):
        """Job and pod of a finished and of a running job with the same log."""
        finished, running = self.simulated_job("500ms"), self.simulated_job("24h")
        self.until(lambda: self.kubectl("get", "job", finished[0], "-o", "jsonpath={.status.succeeded}"), lambda text: text == "1")
        write_log(self.log_of(finished[1]))
        os.link(self.log_of(finished[1]), self.log_of(running[1]))
        return finished, running

    def log_of(self, pod):
        path = Path(self.ready["pods"]) / NAMESPACE / pod / f"{CONTAINER}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def write_log(path):
    """Writes a container's log of LOG_BYTES as the kubelet keeps it."""
    began = time.time_ns() - 3600 * 10**9
    with path.open("w") as file:
        for number in range(LOG_BYTES // LINE_BYTES):
            at = began + number * 1_000_000
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // 10**9))
            file.write(f"{stamp}.{at % 10**9:09}Z stdout F {number:09} {'x' * (LINE_BYTES - 11)}\n")


# ---- What is measured


def startup(bench, runs):
    rows = []
    client = [bench.options.kubectl, "version", "--client"]
    for flag in ("--version", "--help"):
        samples = in_turn(runs, lambda flag=flag: run([bench.options.sbrun, flag], bench.env), lambda: run(client, bench.env))
        rows.append(time_row("start-up", f"`sbrun {flag}` : `kubectl version --client`", samples, goal=1 / 20))
    nothing = [shutil.which("true")]
    samples = in_turn(runs, lambda: run(nothing, bench.env), lambda: run(client, bench.env))
    rows.append(time_row("start-up", "for scale: `true` : `kubectl version --client`", samples))
    return rows


def submit(bench, runs):
    def calm(call):
        time.sleep(1)  # the Job before this one keeps the controllers busy for a while
        return call()

    def cold():
        shutil.rmtree(bench.home / ".kube", ignore_errors=True)
        return run(bench.create(), bench.env)

    detach = bench.submit("--detach")
    rows = []
    for what, create, goal in (
        ("`submit --detach` : `create -f` of the same Job", lambda: run(bench.create(), bench.env), 0.5),
        ("the same, kubectl without its discovery cache", cold, None),
    ):
        samples = in_turn(runs, lambda: calm(lambda: run(detach, bench.env)), lambda create=create: calm(create))
        rows.append(time_row("submit", what, samples, goal))
    requests = [bench.requests(lambda argv=argv: run(argv, bench.env), agent) for argv, agent in ((detach, "sbrun"), (bench.create(), "kubectl"))]
    for name, made in zip(("sbrun", "kubectl"), requests):
        print(f"requests of {name}: {', '.join(made)}", file=sys.stderr)
    rows.append(Row("submit", "requests, by the audit log", "requests", *[[len(made)] for made in requests]))
    return rows


def log_commands(bench, job, pod, *flags):
    return bench.sbrun("logs", job, *flags), bench.kubectl("logs", pod, *flags)


def check_log(bench, job, pod):
    """What is not the whole log must not count as fast."""
    for argv in log_commands(bench, job, pod):
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            reap(spawn(argv, bench.env, stdout.fileno(), stderr.fileno()), argv, stderr)
            size = os.fstat(stdout.fileno()).st_size
        if size != LOG_BYTES:
            raise SystemExit(f"{' '.join(argv)}\nprinted {size} bytes instead of {LOG_BYTES}")


def finished_logs(bench, runs, job, pod, where):
    check_log(bench, job, pod)
    for flags in ((), ("-f",)):
        ours, theirs = log_commands(bench, job, pod, *flags)
        samples = in_turn(runs, lambda: run(ours, bench.env), lambda: run(theirs, bench.env))
        yield throughput_row(f"`{' '.join(['logs', *flags])}`, {where}, finished", samples)


def logs(bench, runs):
    finished, running = bench.simulated_logs
    rows = [*finished_logs(bench, runs, *finished, "simulated")]
    ours, theirs = log_commands(bench, *running, "-f")
    samples = in_turn(runs, lambda: run_until(ours, bench.env, LOG_BYTES), lambda: run_until(theirs, bench.env, LOG_BYTES))
    return [*rows, throughput_row("`logs -f`, simulated, running", samples)]


def real_logs(bench, runs):
    lines = f"(b'%09d ' % number + b'x' * {LINE_BYTES - 11} + b'\\n' for number in range(start, start + 1000))"
    loop = f"for start in range(0, {LOG_BYTES // LINE_BYTES}, 1000):\n    sys.stdout.buffer.write(b''.join({lines}))\n"
    Path("flow.py").write_text(f"import sys\n{loop}")
    job, pod = bench.job_and_pod(bench.ask(bench.submit("--detach", "-o", "name")).strip())
    bench.ask(bench.sbrun("wait", job))
    return [*finished_logs(bench, runs, job, pod, "real kubelet")]


def memory(bench, runs):
    (job, pod), _ = bench.simulated_logs
    client = [bench.options.kubectl, "version", "--client"]
    return [
        Row("memory", what, "MiB", *in_turn(runs, lambda ours=ours: peak(ours(), bench.env), lambda theirs=theirs: peak(theirs(), bench.env)), goal=1)
        for what, ours, theirs in (
            ("`--version` : `version --client`", lambda: [bench.options.sbrun, "--version"], lambda: client),
            ("`submit --detach` : `create -f`", lambda: bench.submit("--detach"), bench.create),
            ("`logs` of 200 MB", lambda: log_commands(bench, job, pod)[0], lambda: log_commands(bench, job, pod)[1]),
            ("`logs -f` of 200 MB", lambda: log_commands(bench, job, pod, "-f")[0], lambda: log_commands(bench, job, pod, "-f")[1]),
        )
    ]


PARTS = {"startup": startup, "submit": submit, "logs": logs, "memory": memory}


# ---- The result


def table(rows):
    """Returns the rows as a table of Markdown, which is as easily read as it is pasted."""
    lines = [["part", "what", "sbrun", "kubectl", "ratio", "goal", "", "CPU ms"], *[row.cells() for row in rows]]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(8)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)


def machine():
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, {memory_bytes / 2**30:.0f} GiB, {platform.system()} {platform.machine()}, load {load:.1f} at the start"


def measure(options, tier, parts):
    with tempfile.TemporaryDirectory(prefix="sbrun-bench-") as folder:
        bench = Bench(options, tier, folder)
        try:
            rows = []
            for name, part in parts.items():
                print(f"{name} ({tier}) ...", file=sys.stderr, flush=True)
                rows += part(bench, options.runs or RUNS[name])
            return rows
        finally:
            os.chdir("/")
            bench.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("sbrun", "kubectl", "cluster"):
        parser.add_argument(f"--{name}", required=True, type=os.path.abspath, help="path of the program")
    parser.add_argument("--images", type=os.path.abspath, help="directory of container images; with it, logs of real containers too (root)")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure only this; may be given several times")
    parser.add_argument("--runs", type=int, help=f"runs of each side instead of {RUNS}")
    parser.add_argument("--json", type=os.path.abspath, help="also write every sample to this file")
    options = parser.parse_args()
    if options.runs is not None and options.runs < 1:
        parser.error("--runs must be at least 1")
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"took longer than {LONGEST // 60} minutes"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    signal.alarm(LONGEST)
    about = machine()
    wanted = options.only or list(PARTS)
    rows = measure(options, "kwok", {name: PARTS[name] for name in PARTS if name in wanted})
    if options.images and "logs" in wanted:
        rows += measure(options, "real", {"logs": real_logs})
    print(f"{about}\n\n{table(rows)}\n")
    if options.json:
        document = {"schema": 1, "machine": about, "rows": [row.document() for row in rows]}
        Path(options.json).write_text(json.dumps(document, indent=1) + "\n")
    missed = [f"{row.part}, {row.what}: ratio {row.ratio:.3f}" for row in rows if row.missed]
    for line in missed:
        print(f"goal missed: {line}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
