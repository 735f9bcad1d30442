#!/usr/bin/env python3
"""Measures calls against the goals in the table it prints.

Starts clusters of its own on loopback with the release build, runs guests that time themselves,
loads the HTTP API with wrk, and reads memory from /proc. Each figure is the median of several
runs. Usage: scripts/bench calls [RUNS]
"""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

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


def one_node(runs, rows):
    with Cluster(1) as cluster:
        url = f"http://{cluster.nodes[0]['http']}"
        time.sleep(2)
        rss, _ = cluster.memory()
        rows.append(("idle node: resident", f"{rss / 1024:.0f} MiB", "≤ 60 MiB"))
        rows.append(("idle node: cluster up to ready", f"{cluster.up_seconds:.2f} s", "≤ 1 s"))
        cluster.upload("noop", example("noop.c"))
        cluster.upload("pingpong", os.path.join(HERE, "pingpong.c"))
        cluster.upload("blocked", os.path.join(HERE, "blocked.c"))
        cluster.upload("loop", os.path.join(ROOT, "tests/guests/loop.c"))
        p50, p99, rate = median_of(runs, lambda: cluster.pingpong("noop", 20000))
        rows.append(("local chain_call + await_call: p50", f"{p50:.1f} µs", "≤ 20 µs"))
        rows.append(("  p99; one after the other", f"{p99:.1f} µs; {rate:,.0f}/s", ""))
        _, _, rate = median_of(runs, lambda: cluster.pingpong("noop", 1000, 64))
        cores = os.cpu_count()
        rows.append((f"  64 at a time, {cores} cores", f"{rate / cores:,.0f}/s per core",
                     "≥ 50,000/s per core"))
        invoke = f"{url}/v1/functions/bench/noop/invoke"
        p50, p99, _ = median_of(runs, lambda: wrk(invoke, 1, 3))
        rows.append(("HTTP invoke of a no-op: p50, one client", f"{p50:.0f} µs", "≤ 250 µs"))
        rows.append(("  p99", f"{p99:.0f} µs", ""))
        p50, p99, rate = median_of(runs, lambda: wrk(invoke, 32, 3))
        rows.append(("  32 clients, keep-alive", f"{rate:,.0f}/s", "≥ 15,000/s"))
        rows.append(("  their p50; p99", f"{p50:.0f} µs; {p99:.0f} µs", ""))
        cluster.upload("other/noop", example("noop.c"))
        fairness(cluster, f"{url}/v1/functions/other/noop/invoke", rows)
        blocked(cluster, rows)


def fairness(cluster, invoke, rows):
    calls = [cluster.run("invoke", "bench/loop", "--async", "--timeout", "60s").strip()
             for _ in range(100)]
    p50, p99, _ = wrk(invoke, 1, 5)
    rows.append(("no-op beside 100 looping calls: p99", f"{p99 / 1e3:.1f} ms", "≤ 25 ms"))
    rows.append(("  p50", f"{p50 / 1e3:.1f} ms", ""))
    for call in calls:
        cluster.run("cancel", call.split()[0])


def blocked(cluster, rows):
    width, depth = 167, 60
    before = sum(cluster.memory())
    cluster.run("invoke", "bench/blocked", "--async", "--timeout", "100s", "--", str(width),
                str(depth), "12")
    live = 0
    metric = re.compile(r"^faasm_calls_live\S* ([\d.e+]+)$", re.M)
    until = time.monotonic() + 10
    while live < width * depth and time.monotonic() < until:
        time.sleep(0.5)
        url = f"http://{cluster.nodes[0]['http']}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            live = float(metric.search(answer.read().decode())[1])
    each = (sum(cluster.memory()) - before) / max(live, 1)
    rows.append((f"{live:,.0f} calls blocked in await", f"{each:.1f} KiB each", "≤ 40 KiB"))


def three_nodes(runs, rows):
    with Cluster(3) as cluster:
        cluster.upload("noop", example("noop.c"), "--pin", "n2")
        cluster.upload("pingpong", os.path.join(HERE, "pingpong.c"))
        p50, p99, rate = median_of(runs, lambda: cluster.pingpong("noop", 5000))
        rows.append(("remote chain_call + await_call: p50", f"{p50:.0f} µs", "≤ 100 µs"))
        rows.append(("  p99; one after the other", f"{p99:.0f} µs; {rate:,.0f}/s", ""))
        _, _, rate = median_of(runs, lambda: cluster.pingpong("noop", 300, 64))
        rows.append(("  64 at a time", f"{rate:,.0f}/s", ""))


def instances(rows):
    out = subprocess.run(["cargo", "bench", "--bench", "bench_instance"], cwd=ROOT, text=True,
                         capture_output=True, check=False)
    for line in out.stdout.splitlines():
        if line.strip():
            rows.append((line.strip(), "", ""))


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    rows = []
    one_node(runs, rows)
    three_nodes(runs, rows)
    if os.environ.get("FAASM_BENCH_INSTANCES", "1") == "1":
        instances(rows)
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    print("  ".join(title.ljust(width) for title, width in zip(("what", "measured", "goal"), widths)))
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


if __name__ == "__main__":
    main()
