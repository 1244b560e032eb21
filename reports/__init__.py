"""Numbers to pages: pure SVG charts, view models, deterministic rendering."""
