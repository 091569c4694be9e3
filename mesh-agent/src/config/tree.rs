//! A YAML document as a tree whose nodes know their lines.

use super::path::{FieldPath, Step};
use std::borrow::Cow;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    /// The line it begins at, counted from 1.
    pub(super) line: u32,
    /// What it is.
    pub(super) value: Value<'a>,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// Text; `is_plain` if written without quotes, so that it may mean a number, a boolean or null.
    Scalar { text: Cow<'a, str>, is_plain: bool },
    /// A list.
    Sequence(Vec<Node<'a>>),
    /// A mapping in the order of the file.
    Mapping(Vec<Entry<'a>>),
}

/// A key of a mapping and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    /// The key.
    pub(super) key: Cow<'a, str>,
    /// The line of the key.
    pub(super) line: u32,
    /// Whether the mapping has the key already.
    pub(super) is_duplicate: bool,
    /// The value.
    pub(super) value: Node<'a>,
}

impl<'a> Node<'a> {
    /// The value of a key of a mapping.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// The entries of a mapping; none for anything else.
    pub(super) fn entries(&self) -> &[Entry<'a>] {
        match &self.value {
            Value::Mapping(entries) => entries,
            Value::Scalar { .. } | Value::Sequence(_) => &[],
        }
    }

    /// The text of a scalar that is not null.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_null() => Some(text),
            Value::Scalar { .. } | Value::Sequence(_) | Value::Mapping(_) => None,
        }
    }

    /// Whether the value is null (`null`, `~` or nothing).
    pub(super) fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar { text, is_plain } => {
                *is_plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL")
            }
            Value::Sequence(_) | Value::Mapping(_) => false,
        }
    }

    /// What a copy of it costs: its nodes, where 64 bytes of text count as one more.
    pub(super) fn cost(&self) -> usize {
        const TEXT_PER_NODE: usize = 64;
        match &self.value {
            Value::Scalar { text, .. } => 1 + text.len() / TEXT_PER_NODE,
            Value::Sequence(items) => 1 + items.iter().map(Self::cost).sum::<usize>(),
            Value::Mapping(entries) => {
                let costs = entries.iter().map(|entry| entry.value.cost());
                1 + costs.sum::<usize>()
                    + entries.iter().map(|e| e.key.len()).sum::<usize>() / TEXT_PER_NODE
            }
        }
    }

    /// Levels of nesting below it.
    pub(super) fn depth(&self) -> usize {
        match &self.value {
            Value::Scalar { .. } => 0,
            Value::Sequence(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Value::Mapping(entries) => {
                1 + entries.iter().map(|e| e.value.depth()).max().unwrap_or(0)
            }
        }
    }

    /// The line and value at a path; where the path leads nowhere, those of its deepest existing part.
    pub(super) fn locate(&self, path: &FieldPath) -> (u32, Option<&Self>) {
        let mut node = self;
        let mut line = self.line;
        for step in path.steps() {
            let next = match (&node.value, step) {
                (Value::Sequence(items), Step::Index(index)) => {
                    items.get(*index).map(|item| (item.line, item))
                }
                (Value::Mapping(entries), Step::Key(key)) => entries
                    .iter()
                    .find(|entry| entry.key == key.as_str())
                    .map(|entry| (entry.line, &entry.value)),
                (Value::Scalar { .. } | Value::Sequence(_) | Value::Mapping(_), _) => None,
            };
            let Some((next_line, next_node)) = next else {
                return (line, None);
            };
            line = next_line;
            node = next_node;
        }
        (line, Some(node))
    }

    /// Takes the value at a path out of the tree; false if there is none.
    pub(super) fn prune(&mut self, path: &FieldPath) -> bool {
        let Some((last, parents)) = path.steps().split_last() else {
            return false;
        };
        let mut node = self;
        for step in parents {
            let next = match (&mut node.value, step) {
                (Value::Sequence(items), Step::Index(index)) => items.get_mut(*index),
                (Value::Mapping(entries), Step::Key(key)) => entries
                    .iter_mut()
                    .find(|entry| entry.key == key.as_str())
                    .map(|entry| &mut entry.value),
                (Value::Scalar { .. } | Value::Sequence(_) | Value::Mapping(_), _) => None,
            };
            let Some(next) = next else {
                return false;
            };
            node = next;
        }
        match (&mut node.value, last) {
            // An empty mapping keeps the indexes of the items behind it.
            (Value::Sequence(items), Step::Index(index)) => match items.get_mut(*index) {
                Some(item) if !matches!(&item.value, Value::Mapping(e) if e.is_empty()) => {
                    item.value = Value::Mapping(Vec::new());
                    true
                }
                Some(_) | None => false,
            },
            (Value::Mapping(entries), Step::Key(key)) => {
                let before = entries.len();
                entries.retain(|entry| entry.key != key.as_str());
                entries.len() < before
            }
            (Value::Scalar { .. } | Value::Sequence(_) | Value::Mapping(_), _) => false,
        }
    }

    /// How a person would name the value in a message; long text is cut.
    pub(super) fn describe(&self) -> String {
        const TEXT_MAX: usize = 80;
        match &self.value {
            Value::Scalar { text, .. } if text.chars().count() > TEXT_MAX => {
                let cut: String = text.chars().take(TEXT_MAX).collect();
                format!("`{}…`", cut.escape_debug())
            }
            Value::Scalar {
                text,
                is_plain: true,
            } => format!("`{}`", text.escape_debug()),
            Value::Scalar { text, .. } => format!("`\"{}\"`", text.escape_debug()),
            Value::Sequence(items) => format!("a list of {}", items.len()),
            Value::Mapping(_) => "a mapping".to_owned(),
        }
    }
}
