"""The static view: what a kernel or a program could use, before anything runs."""
