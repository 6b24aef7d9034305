"""How rosters travel from neighbour to neighbour: each tells what it has, who is behind asks, and believes only what proves itself."""
