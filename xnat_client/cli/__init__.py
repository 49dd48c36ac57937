"""The command line ``winxnat``: parse, call, print.

Belongs here: the main program and the client's own subcommands. Does not belong here: any
work that a Python caller would want too; that lives in the modules beside this folder.
"""
