"""Footprint in, something to read out: terminal, Markdown, RST, CSV, HTML, pictures.

Every report takes the footprint as the plain data of footprint.json (DESIGN: schema 1) and opens
no trace. Names in it come from a trace and are hostile: each format escapes them in one place.
"""
