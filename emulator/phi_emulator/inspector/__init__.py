"""The page at `/_emulator/`: its files, and the formulas that it draws.

The page is plain HTML, CSS and JavaScript modules in `page`; it holds no data and no secret, and asks the control
routes as anybody may who has the key.
"""
