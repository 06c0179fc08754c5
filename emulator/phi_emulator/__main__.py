"""`python -m phi_emulator`: the same as `phi-emulator`. It must not do anything else."""

from phi_emulator.cli import main

if __name__ == "__main__":
    main()
