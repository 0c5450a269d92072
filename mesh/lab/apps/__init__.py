"""What a story and an application do with the node of a room."""
