"""What a log's head tells about its format, with reasons: the parts of `warehouse.explain`."""
