//! Which files declare which objects, and which declaration is in force.

use crate::model::{Body, Object, ObjectId, ParsedFile, Problem};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

/// One object as one file declares it.
#[derive(Clone, Debug)]
pub(super) struct Declaration {
    /// The file.
    pub(super) file: Arc<Path>,
    /// The line it begins at.
    pub(super) line: u32,
    /// The last good version; `None`: there never was one.
    pub(super) body: Option<Arc<Body>>,
    /// Whether the file's newest version of it is wrong.
    pub(super) is_rejected: bool,
}

/// What is known of a file.
#[derive(Debug, Default)]
struct FileState {
    ids: Vec<ObjectId>,
    problems: Vec<Problem>,
    is_complete: bool,
}

/// An object whose version in force changed.
pub(super) struct Transition {
    /// Which.
    pub(super) id: ObjectId,
    /// What was in force.
    pub(super) old: Option<Arc<Body>>,
    /// What is in force now.
    pub(super) new: Option<Arc<Body>>,
}

/// All files and what they declare.
#[derive(Debug, Default)]
pub(super) struct Declarations {
    files: BTreeMap<Arc<Path>, FileState>,
    /// Per object in config order: by file, then line. The first with a body is in force.
    objects: HashMap<ObjectId, Vec<Declaration>>,
    rejected: usize,
}

impl Declarations {
    /// Replaces files (`None`: gone) and tells what changed with it.
    pub(super) fn set_files(
        &mut self,
        files: Vec<(Arc<Path>, Option<ParsedFile>)>,
    ) -> Vec<Transition> {
        let mut before: BTreeMap<ObjectId, Option<Arc<Body>>> = BTreeMap::new();
        let mut last_good: HashMap<ObjectId, Arc<Body>> = HashMap::new();
        let mut updates = Vec::new();
        for (path, parsed) in files {
            let is_cut_off = parsed.as_ref().is_some_and(|parsed| !parsed.is_complete);
            let known = self.files.get(&path);
            for id in known.iter().flat_map(|state| &state.ids) {
                before
                    .entry(id.clone())
                    .or_insert_with(|| self.in_force(id));
                if let Some(body) = self.declared(id, &path).and_then(|d| d.body.clone()) {
                    last_good.entry(id.clone()).or_insert(body);
                }
            }
            for object in parsed.iter().flat_map(|parsed| &parsed.objects) {
                let id = &object.id;
                before
                    .entry(id.clone())
                    .or_insert_with(|| self.in_force(id));
            }
            updates.push((path, parsed, is_cut_off));
        }
        let rejected_before: usize = before.keys().map(|id| self.rejected_of(id)).sum();
        for (path, parsed, is_cut_off) in updates {
            if is_cut_off {
                self.keep_file(&path, parsed.map_or_else(Vec::new, |p| p.problems));
            } else {
                self.replace_file(path, parsed, &last_good);
            }
        }
        let rejected_after: usize = before.keys().map(|id| self.rejected_of(id)).sum();
        self.rejected = self.rejected + rejected_after - rejected_before;
        before
            .into_iter()
            .map(|(id, old)| Transition {
                new: self.in_force(&id),
                id,
                old,
            })
            .filter(|transition| transition.old != transition.new)
            .collect()
    }

    /// The file could not be read to its end: what it declared stays.
    fn keep_file(&mut self, path: &Arc<Path>, problems: Vec<Problem>) {
        let state = self.files.entry(Arc::clone(path)).or_default();
        state.problems = problems;
        state.is_complete = false;
        for id in state.ids.clone() {
            let declarations = self.objects.get_mut(&id).into_iter().flatten();
            for declaration in declarations.filter(|d| d.file == *path) {
                declaration.is_rejected = true;
            }
        }
    }

    fn replace_file(
        &mut self,
        path: Arc<Path>,
        parsed: Option<ParsedFile>,
        last_good: &HashMap<ObjectId, Arc<Body>>,
    ) {
        let old = self.files.remove(&path);
        for id in old.into_iter().flat_map(|state| state.ids) {
            if let Some(declarations) = self.objects.get_mut(&id) {
                declarations.retain(|declaration| declaration.file != path);
                if declarations.is_empty() {
                    self.objects.remove(&id);
                }
            }
        }
        let Some(parsed) = parsed else {
            return;
        };
        let mut ids = Vec::with_capacity(parsed.objects.len());
        for Object { id, line, body } in parsed.objects {
            let is_rejected = body.is_none();
            // The version in force is shared if it says the same, so that nothing downstream is done again.
            let good = last_good.get(&id);
            let body = match (body, good) {
                (Some(new), Some(good)) if new == *good => Some(Arc::clone(good)),
                (Some(new), _) => Some(new),
                (None, good) => good.map(Arc::clone),
            };
            let declarations = self.objects.entry(id.clone()).or_default();
            let place = declarations.partition_point(|d| (&d.file, d.line) <= (&path, line));
            let declaration = Declaration {
                file: Arc::clone(&path),
                line,
                body,
                is_rejected,
            };
            declarations.insert(place, declaration);
            ids.push(id);
        }
        let state = FileState {
            ids,
            problems: parsed.problems,
            is_complete: true,
        };
        self.files.insert(path, state);
    }

    fn declared(&self, id: &ObjectId, path: &Path) -> Option<&Declaration> {
        let declarations = self.objects.get(id)?;
        declarations.iter().find(|d| *d.file == *path)
    }

    /// The declaration in force.
    pub(super) fn winner(&self, id: &ObjectId) -> Option<&Declaration> {
        let declarations = self.objects.get(id)?;
        declarations.iter().find(|d| d.body.is_some())
    }

    fn in_force(&self, id: &ObjectId) -> Option<Arc<Body>> {
        self.winner(id)?.body.clone()
    }

    /// Declarations that are not in force as written.
    fn rejected_of(&self, id: &ObjectId) -> usize {
        let declarations = self.objects.get(id).map_or(&[][..], Vec::as_slice);
        let rejected = declarations.iter().filter(|d| d.is_rejected).count();
        let good = declarations.iter().filter(|d| !d.is_rejected).count();
        let is_good_in_force = self.winner(id).is_some_and(|winner| !winner.is_rejected);
        rejected + good - usize::from(is_good_in_force)
    }

    /// Objects that are not in force as written; a file of which nothing could ever be read counts as one.
    pub(super) fn rejected(&self) -> usize {
        let is_unread = |state: &&FileState| !state.is_complete && state.ids.is_empty();
        self.rejected + self.files.values().filter(is_unread).count()
    }

    /// What is wrong with each file by itself, in config order.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.files.values().flat_map(|state| &state.problems)
    }

    /// Every object with its declarations in config order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ObjectId, &[Declaration])> {
        self.objects.iter().map(|(id, all)| (id, all.as_slice()))
    }
}
