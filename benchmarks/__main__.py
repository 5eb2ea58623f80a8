"""Compare networks before choosing one.

python -m benchmarks list                        what there is
python -m benchmarks run quick                   a comparison that comes along, or a TOML file
python -m benchmarks report FOLDER               Markdown and a page of what was measured

On several processes: torchrun --nproc-per-node 2 -m benchmarks run quick
"""

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from benchmarks.compare import processes
from benchmarks.compare.configuration import ConfigurationError, read, shipped
from benchmarks.compare.networks import NETWORKS
from benchmarks.compare.report import write_report
from benchmarks.compare.runs import run_all
from benchmarks.compare.sets import SETS

FOLDER = Path("comparisons")


def _list(options: argparse.Namespace, console: Console) -> int:
    console.print("[bold]comparisons[/]")
    for name in shipped():
        found = read(name)
        networks = ", ".join(one.name or one.make for one in found.networks)
        data = ", ".join(one.name or one.set for one in found.data)
        console.print(f"  {name:12} {len(found.runs())} runs of {networks} on {data}")
    console.print(f"[bold]networks[/]\n  {', '.join(NETWORKS)}, or module:factory")
    console.print(f"[bold]data[/]\n  {', '.join(SETS)}, or module:loader")
    return 0


def _run(options: argparse.Namespace, console: Console) -> int:
    comparison = read(options.comparison)
    folder = options.folder / comparison.name
    failed = run_all(comparison, folder, console)
    console.print(f"results are in {folder}: python -m benchmarks report {folder}")
    return 1 if failed else 0


def _report(options: argparse.Namespace, console: Console) -> int:
    folder = options.folder
    if not folder.is_dir():
        folder = FOLDER / str(options.folder)
    for path in write_report(folder):
        console.print(str(path))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 if all went well, 1 if a run failed, 2 if something was mistaken."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("list", help="comparisons, networks and data that there are")
    one.set_defaults(call=_list)
    one = commands.add_parser("run", help="train and evaluate all runs of a comparison")
    one.add_argument("comparison", help="a TOML file, or one that comes along")
    one.add_argument("--folder", type=Path, default=FOLDER, help="of all results")
    one.set_defaults(call=_run)
    one = commands.add_parser("report", help="write Markdown and HTML of a folder of results")
    one.add_argument("folder", type=Path)
    one.set_defaults(call=_report)
    options = parser.parse_args(arguments)
    # one's own modules are found from where the command is given
    sys.path.insert(0, str(Path.cwd()))
    # of several processes, the first one speaks
    console = Console(quiet=int(os.environ.get("RANK", "0")) > 0)
    try:
        return options.call(options, console)
    except ConfigurationError as error:
        console.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)
        return 2
    finally:
        processes.end()


if __name__ == "__main__":
    sys.exit(main())
