"""What people and agents look at: live feeds, the engine, exchanges to run again. It must not change anything."""
