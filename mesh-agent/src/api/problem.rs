//! What is wrong with the configuration.

use serde::{Deserialize, Serialize};
use std::fmt;

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
    /// How bad it is.
    pub severity: Severity,
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

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something is not in force as written.
    Error,
    /// It is in force, but will surprise.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}
