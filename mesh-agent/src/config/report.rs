//! Collects what is wrong with a file, with its line and value.

use super::PROBLEMS_MAX;
use super::path::FieldPath;
use super::tree::Node;
use crate::model::{ObjectLabel, Problem, Severity};
use std::path::Path;
use std::sync::Arc;

/// Everything wrong with a file so far.
pub(super) struct FileReport {
    file: Arc<Path>,
    problems: Vec<Problem>,
    dropped: usize,
}

impl FileReport {
    /// Nothing wrong yet.
    pub(super) const fn new(file: Arc<Path>) -> Self {
        Self {
            file,
            problems: Vec::new(),
            dropped: 0,
        }
    }

    /// Notes a problem that is about no field.
    pub(super) fn note(&mut self, severity: Severity, line: u32, message: &str, remedy: &str) {
        self.push(Problem {
            severity,
            file: Arc::clone(&self.file),
            line,
            object: None,
            path: String::new(),
            value: None,
            message: message.to_owned(),
            remedy: remedy.to_owned(),
        });
    }

    fn push(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        } else {
            self.dropped += 1;
        }
    }

    /// The problems in the order of the file.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.line);
        if self.dropped > 0 {
            self.problems.push(Problem {
                severity: Severity::Warning,
                file: self.file,
                line: 0,
                object: None,
                path: String::new(),
                value: None,
                message: format!("{} more problems are not shown", self.dropped),
                remedy: "repair the ones shown first".to_owned(),
            });
        }
        self.problems
    }
}

/// Everything wrong with one object so far.
pub(super) struct Report<'r, 'a> {
    file: &'r mut FileReport,
    root: &'r Node<'a>,
    object: ObjectLabel,
    has_errors: bool,
}

impl<'r, 'a> Report<'r, 'a> {
    /// Nothing wrong yet with the object whose tree is `root`.
    pub(super) const fn new(
        file: &'r mut FileReport,
        root: &'r Node<'a>,
        object: ObjectLabel,
    ) -> Self {
        Self {
            file,
            root,
            object,
            has_errors: false,
        }
    }

    /// The object's tree.
    pub(super) const fn root(&self) -> &'r Node<'a> {
        self.root
    }

    /// Whether the object is wrong in itself.
    pub(super) const fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// The object cannot be accepted.
    pub(super) fn error(&mut self, path: &FieldPath, message: &str, remedy: &str) {
        self.has_errors = true;
        self.add(Severity::Error, path, message, remedy);
    }

    /// The object is accepted, but this has no effect or will surprise.
    pub(super) fn warn(&mut self, path: &FieldPath, message: &str, remedy: &str) {
        self.add(Severity::Warning, path, message, remedy);
    }

    /// Notes an error at a line that no path leads to (the second of two equal keys).
    pub(super) fn error_at(&mut self, line: u32, path: &FieldPath, message: &str, remedy: &str) {
        self.has_errors = true;
        self.file.push(Problem {
            severity: Severity::Error,
            file: Arc::clone(&self.file.file),
            line,
            object: Some(self.object.clone()),
            path: path.to_string(),
            value: None,
            message: message.to_owned(),
            remedy: remedy.to_owned(),
        });
    }

    fn add(&mut self, severity: Severity, path: &FieldPath, message: &str, remedy: &str) {
        let (line, node) = self.root.locate(path);
        let is_whole = path.steps().is_empty();
        self.file.push(Problem {
            severity,
            file: Arc::clone(&self.file.file),
            line,
            object: Some(self.object.clone()),
            path: path.to_string(),
            value: node.filter(|_| !is_whole).map(Node::describe),
            message: message.to_owned(),
            remedy: remedy.to_owned(),
        });
    }
}
