"""The native scanners are optional: without a compiler the pure-Python readers do the work."""

from setuptools import setup

setup()
