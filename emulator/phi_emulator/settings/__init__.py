"""What a setting is, where its value may come from, and how it is told to people and to editors."""
