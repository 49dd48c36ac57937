"""Stand-ins for programs that MRIQC starts and that no package index has.

A run with any of them is never called MRIQC: its records say ``mriqc-substituted`` and list them.
"""
