"""Counting: plain numbers bumped where things happen, and shared between the processes of a server."""
