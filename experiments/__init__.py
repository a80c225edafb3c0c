"""Runs that back what the documentation claims."""
