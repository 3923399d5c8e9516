//! The program itself, as an engineer runs it.
