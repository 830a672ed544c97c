"""Results in the formats of other toolkits: one module a kind of layout."""
