"""Management commands; each module is one."""
