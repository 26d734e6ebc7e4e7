"""Whether a request looks like an attack. Pure: knows no HTTP library, stores nothing and refuses nothing."""
