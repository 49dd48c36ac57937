"""Sharing levels: consent, evidence, approval, release copies, and a loop that keeps watch."""
