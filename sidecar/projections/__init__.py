"""Keeping read models true."""
