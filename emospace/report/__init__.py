"""One static page of runs, curves, tables, pictures and videos; it needs no network and works from a file."""
