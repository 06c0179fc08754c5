"""The way out: connections, sockets and credentials. Nothing else of the package may touch a socket."""
