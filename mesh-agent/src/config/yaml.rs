//! YAML (and JSON) text to trees, document by document, bounded in nodes, depth and alias expansion.

use super::tree::{Entry, Node, Value};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// Nodes in one document, aliases expanded: twice what 10,000 endpoints need.
pub(super) const NODES_MAX: usize = 500_000;

/// Copies made by anchors and aliases in one file, counted by [`Node::cost`].
pub(super) const COPIES_MAX: usize = 500_000;

/// Nesting; Kubernetes objects need about ten.
pub(super) const DEPTH_MAX: usize = 64;

/// Mappings with fewer keys are searched for duplicates one by one.
const SMALL_MAPPING: usize = 16;

/// Why a file cannot be read further.
#[derive(Debug, thiserror::Error)]
pub(super) enum YamlError {
    /// The text is no YAML.
    #[error("no valid YAML: {message}")]
    Syntax { line: u32, message: String },
    /// A document has too many nodes.
    #[error("the document has more than {NODES_MAX} nodes, aliases expanded")]
    TooManyNodes { line: u32 },
    /// Anchors and aliases copy too much.
    #[error(
        "the file's aliases expand to more than {COPIES_MAX} nodes (64 bytes of text count as one)"
    )]
    TooManyCopies { line: u32 },
    /// A document is nested too deeply.
    #[error("the document is nested deeper than {DEPTH_MAX} levels")]
    TooDeep { line: u32 },
    /// A key is a list or a mapping.
    #[error("a key must be text")]
    ComplexKey { line: u32 },
    /// An alias names no anchor that is complete.
    #[error("the alias names an anchor that does not exist, or one that it is part of")]
    UnknownAlias { line: u32 },
    /// A tag the mesh does not know.
    #[error("the tag {tag} is not supported")]
    Tag { line: u32, tag: String },
}

impl YamlError {
    /// The line it was met at.
    pub(super) const fn line(&self) -> u32 {
        match self {
            Self::Syntax { line, .. }
            | Self::TooManyNodes { line }
            | Self::TooManyCopies { line }
            | Self::TooDeep { line }
            | Self::ComplexKey { line }
            | Self::UnknownAlias { line }
            | Self::Tag { line, .. } => *line,
        }
    }

    /// What to do about it.
    pub(super) const fn remedy(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => {
                "repair the YAML; until then the file's objects stay as they were"
            }
            Self::TooManyNodes { .. } => "split the document into several files",
            Self::TooManyCopies { .. } => "write out what the aliases stand for, in several files",
            Self::TooDeep { .. } => {
                "flatten the document: no Kubernetes object is nested that deep"
            }
            Self::ComplexKey { .. } => "write the key as text",
            Self::UnknownAlias { .. } => {
                "define the anchor before its first use, in the same document"
            }
            Self::Tag { .. } => "remove the tag",
        }
    }
}

/// The documents of a text, read one by one so that only one tree lives at a time.
pub(super) struct Documents<'a> {
    parser: Parser<'a, StrInput<'a>>,
    copies: usize,
    is_done: bool,
}

impl<'a> Documents<'a> {
    /// Reads `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            parser: Parser::new_from_str(text),
            copies: 0,
            is_done: false,
        }
    }
}

impl<'a> Iterator for Documents<'a> {
    type Item = Result<Node<'a>, YamlError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut builder = Builder {
            copies: self.copies,
            ..Builder::default()
        };
        while !self.is_done {
            let outcome = match self.parser.next_event() {
                None | Some(Ok((Event::StreamEnd, _))) => {
                    self.is_done = true;
                    return None;
                }
                Some(Ok((event, span))) => builder.accept(event, span.start),
                Some(Err(error)) => Err(YamlError::Syntax {
                    line: line_of(*error.marker()),
                    message: error.info().to_owned(),
                }),
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(root)) => {
                    self.copies = builder.copies;
                    return Some(Ok(root));
                }
                Err(error) => {
                    self.is_done = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

fn line_of(marker: Marker) -> u32 {
    u32::try_from(marker.line()).unwrap_or(u32::MAX)
}

/// A list or mapping that is not finished.
struct Frame<'a> {
    line: u32,
    anchor: usize,
    content: Content<'a>,
}

enum Content<'a> {
    Sequence(Vec<Node<'a>>),
    Mapping(MappingBuilder<'a>),
}

/// Builds the tree of one document from events.
#[derive(Default)]
struct Builder<'a> {
    frames: Vec<Frame<'a>>,
    anchors: HashMap<usize, Node<'a>>,
    root: Option<Node<'a>>,
    nodes: usize,
    /// Cost of what anchors and aliases copied in this file so far.
    copies: usize,
}

impl<'a> Builder<'a> {
    /// Takes one event; gives the root when the document ends.
    fn accept(&mut self, event: Event<'a>, marker: Marker) -> Result<Option<Node<'a>>, YamlError> {
        let line = line_of(marker);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.map_or(Ok(false), |tag| {
                    // `!!str` and `!` make text of anything; no other tag means something here.
                    let is_text = (tag.is_yaml_core_schema() && tag.suffix == "str")
                        || (tag.handle.is_empty() && tag.suffix == "!");
                    is_text.then_some(true).ok_or_else(|| YamlError::Tag {
                        line,
                        tag: tag.to_string(),
                    })
                })?;
                let is_plain = style == ScalarStyle::Plain && !is_text;
                let value = Value::Scalar { text, is_plain };
                self.complete(Node { line, value }, anchor)?;
            }
            Event::SequenceStart(anchor, _) => {
                self.open(line, anchor, Content::Sequence(Vec::new()))?;
            }
            Event::MappingStart(anchor, _) => {
                self.open(line, anchor, Content::Mapping(MappingBuilder::default()))?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor);
                let node = node.ok_or(YamlError::UnknownAlias { line })?;
                let cost = node.cost();
                self.check_copies(cost, line)?;
                let node = node.clone();
                self.copies += cost;
                self.spend(cost, line)?;
                if self.frames.len() + node.depth() > DEPTH_MAX {
                    return Err(YamlError::TooDeep { line });
                }
                self.place(node, line)?;
            }
            Event::DocumentEnd => return Ok(self.root.take()),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
        }
        Ok(None)
    }

    fn spend(&mut self, nodes: usize, line: u32) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            return Err(YamlError::TooManyNodes { line });
        }
        Ok(())
    }

    const fn check_copies(&self, cost: usize, line: u32) -> Result<(), YamlError> {
        if self.copies.saturating_add(cost) > COPIES_MAX {
            return Err(YamlError::TooManyCopies { line });
        }
        Ok(())
    }

    fn open(&mut self, line: u32, anchor: usize, content: Content<'a>) -> Result<(), YamlError> {
        if self.frames.len() >= DEPTH_MAX {
            return Err(YamlError::TooDeep { line });
        }
        self.frames.push(Frame {
            line,
            anchor,
            content,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), YamlError> {
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        let value = match frame.content {
            Content::Sequence(items) => Value::Sequence(items),
            Content::Mapping(mapping) => Value::Mapping(mapping.finish()),
        };
        let line = frame.line;
        self.complete(Node { line, value }, frame.anchor)
    }

    /// A node is complete: remembers it if it is anchored, and puts it where it belongs.
    fn complete(&mut self, node: Node<'a>, anchor: usize) -> Result<(), YamlError> {
        let line = node.line;
        self.spend(1, line)?;
        if anchor > 0 {
            let cost = node.cost();
            self.check_copies(cost, line)?;
            self.copies += cost;
            self.anchors.insert(anchor, node.clone());
        }
        self.place(node, line)
    }

    fn place(&mut self, node: Node<'a>, line: u32) -> Result<(), YamlError> {
        match self.frames.last_mut().map(|frame| &mut frame.content) {
            None => self.root = Some(node),
            Some(Content::Sequence(items)) => items.push(node),
            Some(Content::Mapping(mapping)) => mapping.accept(node, line)?,
        }
        Ok(())
    }
}

/// A mapping that is not finished: keys and values arrive in turn.
#[derive(Default)]
struct MappingBuilder<'a> {
    entries: Vec<Entry<'a>>,
    key: Option<Key<'a>>,
    merged: Vec<Entry<'a>>,
    seen: HashSet<String>,
}

struct Key<'a> {
    text: Cow<'a, str>,
    line: u32,
    is_merge: bool,
}

impl<'a> MappingBuilder<'a> {
    fn accept(&mut self, node: Node<'a>, line: u32) -> Result<(), YamlError> {
        let Some(key) = self.key.take() else {
            let Value::Scalar { text, is_plain } = node.value else {
                return Err(YamlError::ComplexKey { line });
            };
            let is_merge = is_plain && text == "<<";
            self.key = Some(Key {
                text,
                line,
                is_merge,
            });
            return Ok(());
        };
        match node.value {
            Value::Mapping(entries) if key.is_merge => self.merged.extend(entries),
            Value::Sequence(items) if key.is_merge => {
                for item in items {
                    if let Value::Mapping(entries) = item.value {
                        self.merged.extend(entries);
                    }
                }
            }
            Value::Scalar { .. } | Value::Sequence(_) | Value::Mapping(_) => {
                let is_duplicate = self.has(&key.text);
                self.entries.push(Entry {
                    key: key.text,
                    line: key.line,
                    is_duplicate,
                    value: node,
                });
            }
        }
        Ok(())
    }

    /// Whether the key was met before; large mappings keep a set, so that the cost stays linear.
    fn has(&mut self, key: &str) -> bool {
        if self.entries.len() < SMALL_MAPPING {
            return self.entries.iter().any(|entry| entry.key == key);
        }
        if self.seen.is_empty() {
            self.seen
                .extend(self.entries.iter().map(|e| e.key.to_string()));
        }
        !self.seen.insert(key.to_owned())
    }

    /// The mapping, with what `<<` brought for keys it does not have itself; the first to bring a key wins.
    fn finish(mut self) -> Vec<Entry<'a>> {
        for entry in std::mem::take(&mut self.merged) {
            if !self.has(&entry.key) {
                self.entries.push(entry);
            }
        }
        self.entries
    }
}
