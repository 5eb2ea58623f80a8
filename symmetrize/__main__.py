"""The command line: ``python -m symmetrize demo``."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command given by the arguments, those of the process if None."""
    parser = argparse.ArgumentParser(prog="symmetrize", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    demo = commands.add_parser(
        "demo",
        help="train a plain network, make it equivariant, print a table and draw a figure",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    demo.add_argument("--steps", type=int, default=1500, help="of each training")
    demo.add_argument("--seed", type=int, default=0, help="of everything random")
    demo.add_argument(
        "--output", type=Path, default=Path("demo_output"), help="folder of the figure and numbers"
    )
    demo.set_defaults(run=_demo)
    options = parser.parse_args(arguments)
    options.run(options)


def _demo(options: argparse.Namespace) -> None:
    import torch

    from symmetrize.demo import run

    # matrices this small gain nothing from a second core, and times stay comparable
    torch.set_num_threads(1)
    run(options.steps, options.seed, options.output)


if __name__ == "__main__":
    main()
