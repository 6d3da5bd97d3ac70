"""The command of `synfin` for experiments: what may be typed after it, with its help.

Owns its options. What it does lies in lab.py, loaded when it runs.
"""

from pathlib import Path
from typing import Final

import click

from synfin.cli.parameters import lang_option, output_file


@click.command()
@click.argument("name", required=False)
@click.option("--list", "listing", is_flag=True, help="The experiments, one a line, name first.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, metavar="N", help="Decides every chance.")
@click.option("--svg", type=output_file, metavar="FILE", help="Write tables and plots as an SVG too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a row, plot line and sentence instead.")
@lang_option
def lab(name: str | None, listing: bool, seed: int, svg: Path | None, as_json: bool, lang: str) -> None:
    """Measure NAME on the simulated network, in virtual time, and show a table and plots.

    \b
    synfin lab --list
    synfin lab long-or-short
    synfin lab heartbeat --svg heartbeat.svg
    synfin lab ports --json --seed 7
    """
    from synfin.cli import lab as command  # noqa: PLC0415  loads the simulator

    if listing:
        if name is not None:
            raise click.UsageError("--list shows all experiments: it takes no name")
        command.list_labs(lang, as_json)
        return
    if name is None:
        raise click.UsageError("which experiment? synfin lab --list shows all")
    command.play(name, seed=seed, svg=svg, as_json=as_json, lang=lang)


COMMANDS: Final = (lab,)
