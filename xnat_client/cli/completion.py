"""``winxnat completion``: the lines that make a shell complete winxnat's commands and options.

Not here: what is completed; click asks the program itself for that.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

HELP = "Print the completion of commands and options for bash, zsh or fish."


@click.command(
    help=f"""{HELP}

\b
bash:  winxnat completion bash > ~/.local/share/bash-completion/completions/winxnat
zsh:   winxnat completion zsh > ~/.zfunc/_winxnat      (with ~/.zfunc in fpath)
fish:  winxnat completion fish > ~/.config/fish/completions/winxnat.fish

It takes effect in the next shell."""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Run ``winxnat completion``."""
    kind = get_completion_class(shell)
    if kind is None:  # pragma: no cover - click knows these three
        raise click.ClickException(f"click has no completion for {shell}.")
    program = context.find_root().command
    # Not through kind.source(): for bash that would start bash to look at its version.
    made = kind(program, {}, "winxnat", "_WINXNAT_COMPLETE")
    click.echo(made.source_template % made.source_vars())
