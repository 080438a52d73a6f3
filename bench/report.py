"""What a run found: one table on the terminal, the same as CSV, and a plot."""

import csv
import datetime
import pathlib
import platform
import statistics
import subprocess

import data
import figures
import measure
import plan

RESULTS = data.SOURCE / "bench" / "results"
LABEL_WIDTH = 34

# What a round has, by its names here and in the files.
MEASURES = {
    "req/s": "req/s",
    "p50": "p50 (us)",
    "p99": "p99 (us)",
    "CPU": "CPU of all processes (us/request)",
    "server us": "CPU of server (us/request)",
    "behind us": "CPU of processes behind the server (us/request)",
    "postgres us": "CPU of PostgreSQL (us/request)",
    "memory": "peak resident memory of server (KiB)",
}
DISTURBANCES = {
    "foreign": "processors taken by others (share)",
    "steal": "processors kept back by hypervisor (share)",
}
COMPARED = ("req/s", "CPU")  # with the first row of the cell


def median(rounds, key):
    return statistics.median(each[key] for each in rounds)


def spread(rounds, key):
    values = [each[key] for each in rounds]
    return min(values), max(values)


def ratios(rounds, others, key):
    """others / rounds, round by round."""
    return [other[key] / each[key] for each, other in zip(rounds, others)]


def disturbed(rounds):
    return sum(map(measure.is_disturbed, rounds))


def spaced(number):
    return f"{number:,.0f}".replace(",", " ")


# The table ---------------------------------------------------------------------------------------

HEAD = (f"{'':{LABEL_WIDTH}} {'req/s':>9} {'[min-max]':>15} {'p50':>8} {'p99':>8} {'CPU us/request':>27}"
        f" {'memory':>7}  {'first row / this row':>41} {'rounds':>9}\n"
        f"{'':{LABEL_WIDTH}} {'':>9} {'':>15} {'us':>8} {'us':>8} {'all':>7} {'server':>6} {'behind':>6} {'pg':>5}"
        f" {'MiB':>7}  {'req/s':>20} {'CPU':>20} {'disturbed':>9}")


def ratio_text(values):
    return f"{statistics.median(values):.2f} [{min(values):.2f}-{max(values):.2f}]"


def row(label, rounds, first):
    least, most = spread(rounds, "req/s")
    text = (f"{label:{LABEL_WIDTH}} {median(rounds, 'req/s'):9.0f} {f'[{least:.0f}-{most:.0f}]':>15}"
            f" {median(rounds, 'p50'):8.0f} {median(rounds, 'p99'):8.0f} {median(rounds, 'CPU'):7.1f}"
            f" {median(rounds, 'server us'):6.0f} {median(rounds, 'behind us'):6.0f}"
            f" {median(rounds, 'postgres us'):5.0f}"
            f" {median(rounds, 'memory') / 1024:7.0f}")
    compared = [ratio_text(ratios(rounds, first, key)) if first is not rounds else "" for key in COMPARED]
    return f"{text}  {compared[0]:>20} {compared[1]:>20} {f'{disturbed(rounds)} of {len(rounds)}':>9}"


def cell(one, results):
    """Prints the rows of a cell; results: (cell, label) -> rounds."""
    print(f"\n{one.title}")
    first = results.get((one.name, one.targets[0].label))
    for target in one.targets:
        rounds = results.get((one.name, target.label))
        if rounds:
            print(row(target.label, rounds, first or rounds), flush=True)


def goals(results):
    if not any(figures.look(results)):
        return
    print(f"\n{'Figures to reach':60} {'this run':>20} {'reach':>9} {'stretch':>8}")
    for found in figures.look(results):
        figure = found.figure
        value = f"{found.value:.2f} [{found.least:.2f}-{found.most:.2f}]"
        print(f"{figure.title:60} {value:>20} {figure.sign} {figure.reach:6.2f} {figure.stretch:8.2f}  "
              f"{found.verdict}")


# Files -------------------------------------------------------------------------------------------


def write_csv(name, head, rows):
    RESULTS.mkdir(exist_ok=True)
    with open(RESULTS / name, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(head)
        writer.writerows(rows)


def with_spread(names):
    return [f"{name} {what}" for name in names for what in ("median", "min", "max")]


def three(values):
    """Median, least and most."""
    return [round(value, 3) for value in (statistics.median(values), min(values), max(values))]


def rows_of(results):
    """The lines of table.csv."""
    firsts = {cell.name: cell.targets[0].label for cell in plan.CELLS}
    for (cell_name, label), rounds in results.items():
        first = results.get((cell_name, firsts[cell_name]))
        measured = [three([each[key] for each in rounds]) for key in MEASURES]
        compared = [three(ratios(rounds, first, key)) if first else ("",) * 3 for key in COMPARED]
        yield (cell_name, label, len(rounds), disturbed(rounds),
               *(value for values in measured + compared for value in values))


def write_tables(results):
    """table.csv: a line for each row; rounds.csv: for each round of it; figures.csv."""
    write_csv("table.csv",
              ("cell", "row", "rounds", "rounds disturbed", *with_spread(MEASURES.values()),
               *with_spread(f"{key} of first row / of this row" for key in COMPARED)),
              rows_of(results))
    write_csv("rounds.csv", ("cell", "row", "round", *MEASURES.values(), *DISTURBANCES.values()),
              ((*key, number, *(round(each[name], 3) for name in (*MEASURES, *DISTURBANCES)))
               for key, rounds in results.items() for number, each in enumerate(rounds, 1)))
    write_csv("figures.csv", ("figure", "median", "min", "max", "sign", "reach", "stretch", "verdict"),
              ((found.figure.title, *(round(value, 3) for value in (found.value, found.least, found.most)),
                found.figure.sign, found.figure.reach, found.figure.stretch, found.verdict)
               for found in figures.look(results)))


def write_memory(sizes):
    """memory.csv: after each second, how many pages there have been, and what httpd has."""
    write_csv("memory.csv", ("pages of 1000", "resident memory of server (KiB)"), sizes)


# The plot ----------------------------------------------------------------------------------------

# Okabe and Ito's colours, which the colour-blind can tell apart.
OURS = 0x0072B2
COLOURS = {plan.PG: 0xE69F00, plan.POSTGRES: 0x009E73, plan.LIMIT: 0x808080,
           plan.UNPIPELINED: 0x56B4E9, plan.OPEN: 0x56B4E9,
           plan.MODULE + plan.EVENT: 0x56B4E9, plan.LIMIT + plan.EVENT: 0x808080}


def bar(place, label, rounds):
    """A line for bench/plot.gp: what it is, how much and in which colour."""
    values = [number for key in ("req/s", "CPU") for number in (median(rounds, key), *spread(rounds, key))]
    colour = COLOURS.get(label.removesuffix(plan.DEEP), OURS)
    return "\t".join(map(str, (f'"{label}"', place, colour, *values, median(rounds, "server us"),
                               *(f'"{spaced(median(rounds, key))}"' for key in ("req/s", "CPU")))))


def plot(results, *subtitle):
    """plot.png: requests per second and processor time of all rows; subtitle: its lines."""
    cells = []
    for one in plan.CELLS:
        found = [(target.label, results[one.name, target.label]) for target in one.targets
                 if (one.name, target.label) in results]
        if found:
            cells.append((one.title, [bar(place, *row) for place, row in enumerate(found, 1)]))
    blocks = "\n\n\n".join("\n".join(bars) for _, bars in cells)
    lines = [f"$rows << END\n{blocks}\nEND", f"array bars[{len(cells)}]", f"array titles[{len(cells)}]",
             'title = "mod_serverless_functions beside its peers"',
             'subtitle = "{}"'.format("\\n".join(subtitle))]
    for number, (text, bars) in enumerate(cells, 1):
        lines += [f"bars[{number}] = {len(bars)}", f'titles[{number}] = "{text}"']
    commands = pathlib.Path(__file__).with_name("plot.gp").read_text()
    subprocess.run(["gnuplot", "-"], input="\n".join([*lines, commands]), text=True, check=True,
                   cwd=RESULTS)


# The machine -------------------------------------------------------------------------------------


def first_line(*command):
    return subprocess.run(command, check=True, text=True,
                          stdout=subprocess.PIPE).stdout.splitlines()[0]


def machine(httpd, node):
    """What it runs on and with, in two lines."""
    info = pathlib.Path("/proc/cpuinfo").read_text()
    model = next((line.split(":")[1].strip() for line in info.splitlines()
                  if line.startswith("model name")), platform.machine())
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) // 1024 ** 2
    return (f"{datetime.date.today()}, {info.count('processor' + chr(9))} x {model}, {memory} GiB, "
            f"Linux {platform.release()}",
            "; ".join((first_line(httpd, "-v").removeprefix("Server version: "),
                       "PostgreSQL " + data.psql("postgres", "SHOW server_version")[0][0],
                       "Node.js " + first_line(node, "--version"))))
