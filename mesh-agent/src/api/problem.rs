//! What is wrong with the configuration.

use serde::{Deserialize, Serialize};

/// `/api/problems`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problems {
    /// How many there are.
    pub total: usize,
    /// The first of them, at most [`Problems::LISTED_MAX`].
    pub problems: Vec<Problem>,
}

impl Problems {
    /// How many one answer lists.
    pub const LISTED_MAX: usize = 1_000;

    /// How many `status` and the page for people show.
    pub const FIRST_FEW: usize = 5;
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The whole problem for people: file, line, path in the object, the offending value, what would be accepted.
    pub text: String,
}
