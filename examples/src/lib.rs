//! The programs are in `src/bin`; the tests that need a server and a client are in `tests`.
