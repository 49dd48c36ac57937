"""The errors of this package; a caller can catch wide (``CommandError``) or narrow.

Programming mistakes stay ``TypeError`` and ``ValueError``.
"""

from __future__ import annotations

from collections.abc import Iterable


class CommandError(Exception):
    """Root of the errors of command documents and their values.

    Tree::

        CommandError
        ├── CommandDefinitionError   the document is no valid command: mend the document
        ├── UnknownCommandError      no command of that name: choose another
        ├── IllegalInputValueError   a value must not be given to a command: change the value
        ├── TemplateError            a template cannot be resolved: mend the document
        └── ArgumentsError           an argument list does not fit the command: call it differently
    """


class CommandDefinitionError(CommandError):
    """A command document breaks rules of the Container Service.

    Attributes
    ----------
    errors : tuple of str
        Every broken rule, one sentence each. The text of the exception is what the service
        answers with status 400.
    """

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = tuple(errors)
        super().__init__("Invalid command:" + "".join(f"\n\t{error}" for error in self.errors))


class UnknownCommandError(CommandError):
    """The catalogue has no command of that name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(
            f'There is no command "{name}" in the catalogue. Choose one of: '
            f"{', '.join(self.known)}."
        )


class IllegalInputValueError(CommandError):
    """A value may not be given to an input.

    The text names the input and the reason, never the value: a value may be an identity.
    """

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f'Cannot use the value of input "{name}": {reason}')


class TemplateError(CommandError):
    """A template of a command document cannot be resolved."""


class ArgumentsError(CommandError):
    """An argument list does not fit the command that it was given to."""
