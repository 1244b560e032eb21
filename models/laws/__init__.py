"""Laws of capacity fade, one module a law; ``registry`` lists them with their validity ranges."""
