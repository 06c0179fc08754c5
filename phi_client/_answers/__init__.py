"""Reading answers: JSON in a content, votes over samples, when two answers are the same."""
