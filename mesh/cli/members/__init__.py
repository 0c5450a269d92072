"""The commands about who is in a mesh: how it is made, who joins, who is in it, and who goes."""
