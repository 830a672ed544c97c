"""Side-by-side measurements; speed is judged here and never in a test."""
