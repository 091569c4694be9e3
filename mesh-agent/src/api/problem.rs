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
    /// `error`: something is not in force as written. `warning`: in force, but it will surprise.
    pub severity: String,
    /// The file.
    pub file: String,
    /// The line, counted from 1; 0: the file as a whole.
    pub line: u32,
    /// Kind, namespace and name of the object, if it is about one.
    pub object: Option<String>,
    /// The path in the object; empty: the object as a whole.
    pub path: String,
    /// All of it for people: place, what is wrong, the offending value, what would be accepted.
    pub text: String,
}
