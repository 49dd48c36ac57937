"""The subcommands of ``winxnat share``, ``release`` and ``audit``, one module a subject."""
