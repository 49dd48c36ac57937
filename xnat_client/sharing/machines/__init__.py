"""What may happen to a release and to a grant, as tables; nothing here reads records."""
