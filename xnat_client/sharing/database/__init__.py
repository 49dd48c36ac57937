"""The database of the sharing records: its tables, how it is opened and brought up to date."""
