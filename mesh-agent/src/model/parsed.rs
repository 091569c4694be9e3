//! A manifest file as parsed and checked on its own.

use super::{Body, ObjectId, Problem};
use std::path::Path;
use std::sync::Arc;

/// One object of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Which.
    pub id: ObjectId,
    /// The line its document or list item begins at.
    pub line: u32,
    /// What it says; `None`: it is wrong in itself and its last good version stays in force.
    pub body: Option<Arc<Body>>,
}

/// A manifest file as parsed and checked on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedFile {
    /// Its path.
    pub file: Arc<Path>,
    /// Its objects in the order of the file.
    pub objects: Vec<Object>,
    /// Everything wrong with it, in the order of the file.
    pub problems: Vec<Problem>,
    /// Whether the file could be read to its end. If not, the objects it held before stay in force.
    pub is_complete: bool,
}
