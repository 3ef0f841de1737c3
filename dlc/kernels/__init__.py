"""Array code that layers share, and variants of operations among which each platform has its own choice."""
