"""A person talks to the model in a terminal: questions, answers as they come, and what is said around them.

The command line says who is asked; here it is one client of `phi_client`, whoever that is. `session` is a talk, with
`screen` on a terminal that can move its cursor and `plain` on all else; `one_shot` is one question.
"""
