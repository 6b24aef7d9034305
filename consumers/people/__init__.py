"""People: who may see and do what in herald. Accounts, sessions, tokens and one-time links, kept in the state part of the store."""
