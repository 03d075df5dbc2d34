"""One module a group of commands. Each is thin: it parses, calls one function, prints."""
