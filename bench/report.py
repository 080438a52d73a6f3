"""What a run found: one table on the terminal, the same as CSV, and a plot."""

import csv
import pathlib
import platform
import statistics
import subprocess

import data
import figures

RESULTS = data.SOURCE / "bench" / "results"
LABEL_WIDTH = 32


def median(rounds, key):
    return statistics.median(each[key] for each in rounds)


def spread(rounds, key):
    values = [each[key] for each in rounds]
    return min(values), max(values)


def ratios(rounds, others, key):
    """others / rounds, round by round."""
    return [other[key] / each[key] for each, other in zip(rounds, others)]


# The table ---------------------------------------------------------------------------------------

HEAD = (f"{'':{LABEL_WIDTH}} {'req/s':>9} {'[min-max]':>15} {'p50':>8} {'p99':>8} {'CPU us/request':>24}"
        f" {'memory':>7}  {'first row / this row':>41}\n"
        f"{'':{LABEL_WIDTH}} {'':>9} {'':>15} {'us':>8} {'us':>8} {'server+pg':>11} {'server':>6} {'pg':>5}"
        f" {'MiB':>7}  {'req/s':>20} {'CPU':>20}")


def ratio_text(values):
    return f"{statistics.median(values):.2f} [{min(values):.2f}-{max(values):.2f}]"


def row(label, rounds, first):
    least, most = spread(rounds, "req/s")
    text = (f"{label:{LABEL_WIDTH}} {median(rounds, 'req/s'):9.0f} {f'[{least:.0f}-{most:.0f}]':>15}"
            f" {median(rounds, 'p50'):8.0f} {median(rounds, 'p99'):8.0f} {median(rounds, 'CPU'):11.1f}"
            f" {median(rounds, 'server us'):6.0f} {median(rounds, 'postgres us'):5.0f}"
            f" {median(rounds, 'memory') / 1024:7.0f}")
    if first is not rounds:
        text += "  " + "".join(f" {ratio_text(ratios(rounds, first, key)):>20}" for key in ("req/s", "CPU"))
    return text


def cell(one, results):
    """Prints the rows of a cell; results: (cell, label) -> rounds."""
    print(f"\n{one.title}")
    first = results.get((one.name, one.targets[0].label))
    for target in one.targets:
        rounds = results.get((one.name, target.label))
        if rounds:
            print(row(target.label, rounds, first or rounds), flush=True)


def goals(results):
    print(f"\n{'Figures to reach':60} {'this run':>20} {'reach':>6} {'stretch':>8}")
    for found in figures.look(results):
        figure = found.figure
        value = f"{found.value:.2f} [{found.least:.2f}-{found.most:.2f}]"
        print(f"{figure.title:60} {value:>20} {figure.reach:6.2f} {figure.stretch:8.2f}  "
              f"{found.verdict}")


# Files -------------------------------------------------------------------------------------------


def write_csv(name, head, rows):
    RESULTS.mkdir(exist_ok=True)
    with open(RESULTS / name, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(head)
        writer.writerows(rows)


def write_tables(results):
    """table.csv: a line for each row; rounds.csv: for each round of it."""
    measures = ("req/s", "p50", "p99", "CPU", "server us", "postgres us", "memory", "foreign", "steal")
    write_csv("rounds.csv", ("cell", "row", "round", *measures),
              ((*key, number, *(each[measure] for measure in measures))
               for key, rounds in results.items() for number, each in enumerate(rounds, 1)))
    write_csv("table.csv",
              ("cell", "row", *(f"{measure} {what}" for measure in measures[:-2]
                                for what in ("median", "min", "max"))),
              ((*key, *(value for measure in measures[:-2]
                        for value in (median(rounds, measure), *spread(rounds, measure))))
               for key, rounds in results.items()))
    write_csv("figures.csv", ("figure", "median", "min", "max", "reach", "stretch", "verdict"),
              ((found.figure.title, found.value, found.least, found.most, found.figure.reach,
                found.figure.stretch, found.verdict) for found in figures.look(results)))


def plot(cells, results):
    """plot.png: processor time for each request, server and PostgreSQL, one panel for each cell."""
    panels = []
    for one in cells:
        rows = [(target.label, results[one.name, target.label]) for target in one.targets
                if (one.name, target.label) in results]
        if rows:
            panels.append((one, rows))
    for one, rows in panels:
        lines = [f'"{label}"\t{median(rounds, "server us")}\t{median(rounds, "postgres us")}'
                 for label, rounds in rows]
        (RESULTS / f"plot_{one.name}.dat").write_text("\n".join(lines) + "\n")
    commands = pathlib.Path(__file__).with_name("plot.gp").read_text()
    for one, _ in panels:
        commands += f'set title "{one.title}"\nplot "plot_{one.name}.dat" @panel\n'
    subprocess.run(["gnuplot", "-"], input=f"rows = {(len(panels) + 2) // 3}\n{commands}", text=True,
                   check=True, cwd=RESULTS)
    for one, _ in panels:
        (RESULTS / f"plot_{one.name}.dat").unlink()


# The machine -------------------------------------------------------------------------------------


def first_line(*command):
    return subprocess.run(command, check=True, text=True,
                          stdout=subprocess.PIPE).stdout.splitlines()[0]


def machine(httpd, node):
    """What it ran on and with."""
    info = pathlib.Path("/proc/cpuinfo").read_text()
    model = next((line.split(":")[1].strip() for line in info.splitlines()
                  if line.startswith("model name")), platform.machine())
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) // 1024 ** 2
    print(f"{info.count('processor' + chr(9))} x {model}, {memory} GiB, Linux {platform.release()}")
    print("; ".join((first_line(httpd, "-v").removeprefix("Server version: "),
                     data.psql("postgres", "SHOW server_version")[0][0].join(("PostgreSQL ", "")),
                     "Node.js " + first_line(node, "--version"))))
    print("PostgreSQL: " + ", ".join(f"{name}={value}" for name, value in data.OPTIONS.items()))
