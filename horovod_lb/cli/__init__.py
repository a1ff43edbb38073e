"""The command line `hlb`: one thin module a verb, each parses, calls and prints."""
