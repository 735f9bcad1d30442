"""What the benchmarks share: clusters of the release build, load by wrk, medians, tables."""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FAASM = os.environ.get("FAASM_BIN", os.path.join(ROOT, "target", "release", "faasm"))
HERE = os.path.dirname(os.path.abspath(__file__))
POST = 'wrk.method = "POST"\nwrk.body = ""\n'


class Cluster:
    """Nodes of their own in a folder of their own."""

    def __init__(self, nodes):
        self.dir = tempfile.mkdtemp(prefix="faasm-bench-")
        begun = time.monotonic()
        self.run("cluster", "up", "--nodes", str(nodes))
        self.up_seconds = time.monotonic() - begun
        self.nodes = json.loads(self.run("cluster", "status", "--json"))["nodes"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run([FAASM, "cluster", "down", "--data-dir", self.dir], check=False,
                       stdout=subprocess.DEVNULL)
        shutil.rmtree(self.dir, ignore_errors=True)

    def run(self, *words, timeout=120):
        """Runs the client; its output, or its error."""
        at = words.index("--") if "--" in words else len(words)
        command = [FAASM, *words[:at], "--data-dir", self.dir, *words[at:]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        if done.returncode:
            sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        return done.stdout

    def upload(self, name, source, *options):
        """Compiles a C function and uploads it."""
        wasm = os.path.join(self.dir, os.path.basename(source) + ".wasm")
        if not os.path.exists(wasm):
            compiler = os.path.join(ROOT, "sdk", "c", "faasm-cc")
            subprocess.run([compiler, source, "-o", wasm], check=True)
        key = name if "/" in name else f"bench/{name}"
        self.run("upload", key, wasm, *options)

    def pingpong(self, name, rounds, width=1):
        """Median and 99th percentile in microseconds, and calls a second."""
        out = self.run("invoke", "bench/pingpong", "--node", "n1", "--timeout", "100s", "--",
                       f"{name}", str(rounds), str(width))
        return tuple(float(word) for word in out.split())

    def memory(self, node=0):
        """Resident memory and page tables of a node, in KiB."""
        with open(f"/proc/{self.nodes[node]['pid']}/status", encoding="ascii") as status:
            text = status.read()
        return [int(re.search(rf"{key}:\s+(\d+) kB", text)[1]) for key in ("VmRSS", "VmPTE")]


def wrk(url, connections, seconds, threads=1):
    """Median and 99th percentile in microseconds, and requests a second."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(POST)
        script.flush()
        out = subprocess.run(
            ["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{seconds}s", "--latency",
             "-s", script.name, url], capture_output=True, text=True, check=True).stdout
    unit = {"us": 1.0, "ms": 1e3, "s": 1e6}

    def percentile(which):
        number, suffix = re.search(rf"{which}%\s+([\d.]+)(us|ms|s)", out).groups()
        return float(number) * unit[suffix]

    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    if bad:
        sys.exit(f"{url}: {bad[1]} requests failed")
    return percentile(50), percentile(99), float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


def median_of(runs, measure):
    """The median of each figure over several runs."""
    return [statistics.median(figures) for figures in zip(*(measure() for _ in range(runs)))]


def example(name):
    return os.path.join(ROOT, "examples", name)


def need_wrk():
    """Ends with what to do when the load generator is not there."""
    if not shutil.which("wrk"):
        sys.exit("the HTTP load comes from wrk: apt-get install wrk")


def table(rows):
    """Prints what was measured, and the goals."""
    rows = [("what", "measured", "goal"), *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
