"""One static page of runs, curves, tables, images and videos; it needs no network and works from a file."""
