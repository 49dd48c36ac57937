"""What a site writes down before it shares: servers, people, studies, consent, texts, statements.

Each module changes its own tables only, checks the acting role, and adds to the audit log. Not
here: decisions on releases and grants, anything on a server.
"""
