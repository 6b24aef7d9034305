"""``tabard completion``: make the shell complete commands, options and directories."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from tabard.home import Home
from tabard.ops.cli.base import command


@command(
    "completion",
    examples=[
        ('eval "$(tabard completion bash)"', "In this bash, now"),
        ("tabard completion zsh > ~/.zfunc/_tabard", "In every zsh whose fpath has ~/.zfunc"),
        ("tabard completion fish > ~/.config/fish/completions/tabard.fish", "In every fish"),
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(home: Home, shell: str) -> None:
    """Print the completion script of a shell."""
    del home  # the script is the same for every home
    maker = get_completion_class(shell)
    if maker is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    root = click.get_current_context().find_root().command
    script = maker(root, {}, "tabard", "_TABARD_COMPLETE").source()
    # What a command is for may have commas in it: only the first one ends the kind of a completion.
    click.echo(script.replace('(string split "," $completion)', '(string split -m 1 "," $completion)'))
