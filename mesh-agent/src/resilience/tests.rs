//! What the parts of the room do together, on a clock of the tests' own.

mod budgets;
mod calls;
