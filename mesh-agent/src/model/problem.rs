//! Something wrong in the configuration, told so that it can be repaired.

use super::ObjectId;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object (or file) is not in force as written.
    Error,
    /// The object is in force, but something in it has no effect or will surprise.
    Warning,
}

/// The object a problem is about, of any kind.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ObjectLabel {
    /// `kind` as written.
    pub kind: String,
    /// Its namespace; empty if it has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl From<&ObjectId> for ObjectLabel {
    fn from(id: &ObjectId) -> Self {
        Self {
            kind: id.kind.as_str().to_owned(),
            namespace: id.name.namespace.to_string(),
            name: id.name.name.to_string(),
        }
    }
}

impl fmt::Display for ObjectLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return write!(f, "{} {}", self.kind, self.name);
        }
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Something wrong in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file; empty: the configuration as a whole.
    pub file: Arc<Path>,
    /// The line, counted from 1; 0: the file as a whole.
    pub line: u32,
    /// The object, if it is about one.
    pub object: Option<ObjectLabel>,
    /// The path in the object (`spec.ports[0].port`); empty: the object as a whole.
    pub path: String,
    /// The offending value.
    pub value: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What would be accepted, or what to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.file.as_os_str().is_empty() {
            write!(f, "the configuration as a whole")?;
        } else {
            write!(f, "{}", self.file.display())?;
        }
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if let Some(object) = &self.object {
            write!(f, ": {object}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(value) = &self.value {
            write!(f, " (found {value})")?;
        }
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}
