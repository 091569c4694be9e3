//! Claims about the directory source: what it reads, and what a change costs and does.

use super::FileSource;
use crate::model::{Body, ParsedFile};
use crate::source::{Batch, Mailbox};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Time for anything to arrive; only a failing test waits that long.
const DEADLINE: Duration = Duration::from_secs(20);

/// A watched directory, and what the batches so far add up to.
struct Bench {
    root: TempDir,
    directory: PathBuf,
    mailbox: Arc<Mailbox>,
    files: BTreeMap<Arc<Path>, ParsedFile>,
    problems: Vec<String>,
    /// Names of the files removed by any batch.
    removed: Vec<String>,
    _source: FileSource,
}

impl Bench {
    fn new(prepare: impl FnOnce(&Path)) -> Self {
        Self::watching(prepare, Path::to_owned)
    }

    /// Watches the directory by the path that `name` makes of its absolute one.
    fn watching(prepare: impl FnOnce(&Path), name: impl FnOnce(&Path) -> PathBuf) -> Self {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("config");
        fs::create_dir(&directory).unwrap();
        prepare(&directory);
        let directory = name(&directory);
        let mailbox = Arc::new(Mailbox::default());
        let inbox = Arc::clone(&mailbox);
        let source = FileSource::start(&directory, move |batch| inbox.put(batch)).unwrap();
        let mut bench = Self {
            root,
            directory,
            mailbox,
            files: BTreeMap::new(),
            problems: vec![],
            removed: vec![],
            _source: source,
        };
        let first = bench
            .mailbox
            .try_take()
            .expect("the first batch is there at once");
        bench.take(first);
        bench
    }

    fn take(&mut self, batch: Batch) {
        for (path, parsed) in batch.files {
            match parsed {
                Some(parsed) => {
                    self.files.insert(path, parsed);
                }
                None => {
                    self.files.remove(&path);
                    self.removed.push(path.display().to_string());
                }
            }
        }
        self.problems = batch.problems.iter().map(|p| p.message.clone()).collect();
    }

    /// Takes batches until `is_done`.
    fn until(&mut self, what: &str, is_done: impl Fn(&Self) -> bool) {
        self.until_within(DEADLINE, what, is_done);
    }

    fn until_within(&mut self, limit: Duration, what: &str, is_done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + limit;
        while !is_done(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.mailbox.take(left) {
                Some(batch) => self.take(batch),
                None => panic!("{what}: not seen in time; files {:?}", self.files.keys()),
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The zone of the Node a file declares.
    fn zone(&self, name: &str) -> Option<&str> {
        let parsed = self.files.get(&*self.path(name))?;
        let body = parsed.objects.first()?.body.as_deref()?;
        let Body::Node(node) = body else {
            panic!("no node: {body:?}");
        };
        node.zone.as_deref()
    }
}

fn node(zone: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: a, labels: {{topology.kubernetes.io/zone: {zone}}}}}\n"
    )
}

#[test]
fn the_first_batch_has_every_manifest_and_nothing_else() {
    let bench = Bench::new(|directory| {
        for name in [
            "a.yaml",
            "b.yml",
            "c.json",
            ".hidden.yaml",
            "d.txt",
            "e.yaml~",
        ] {
            fs::write(directory.join(name), node("one")).unwrap();
        }
        fs::create_dir(directory.join("sub")).unwrap();
        fs::create_dir(directory.join("..old")).unwrap();
    });
    let names: Vec<_> = bench.files.keys().map(|p| p.file_name().unwrap()).collect();
    assert_eq!(names, ["a.yaml", "b.yml", "c.json"]);
    assert_eq!(bench.problems, ["subdirectories are not read"]);
}

#[test]
fn a_directory_named_by_a_relative_path_is_watched_too() {
    let mut bench = Bench::watching(
        |_| (),
        |absolute| {
            let here = std::env::current_dir().unwrap();
            let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
            up.join(absolute.strip_prefix("/").unwrap())
        },
    );
    fs::write(bench.path("a.yaml"), node("one")).unwrap();
    // Sooner than the periodic scan would find it: an event must have.
    bench.until_within(Duration::from_secs(4), "a new file", |b| {
        b.zone("a.yaml") == Some("one")
    });
}

#[test]
fn an_empty_directory_is_an_empty_first_batch() {
    let bench = Bench::new(|_| ());
    assert!(bench.files.is_empty());
    assert!(bench.problems.is_empty());
}

#[test]
fn files_are_seen_when_written_replaced_and_removed() {
    let mut bench =
        Bench::new(|directory| fs::write(directory.join("stays.yaml"), node("x")).unwrap());
    fs::write(bench.path("a.yaml"), node("one")).unwrap();
    bench.until("written", |b| b.zone("a.yaml") == Some("one"));

    let draft = bench.path(".a.yaml.swp");
    fs::write(&draft, node("two")).unwrap();
    fs::rename(&draft, bench.path("a.yaml")).unwrap();
    bench.until("moved into place", |b| b.zone("a.yaml") == Some("two"));

    fs::remove_file(bench.path("a.yaml")).unwrap();
    bench.until("removed", |b| b.zone("a.yaml").is_none());
    assert_eq!(bench.zone("stays.yaml"), Some("x"));
}

#[test]
fn an_editor_that_keeps_a_backup_never_removes_the_file() {
    let mut bench = Bench::new(|directory| {
        fs::write(directory.join("a.yaml"), node("one")).unwrap();
        fs::write(directory.join("mark.yaml"), node("one")).unwrap();
    });
    fs::rename(bench.path("a.yaml"), bench.path("a.yaml~")).unwrap();
    // The backup's short grace, were it one, is over once a later change has come through.
    fs::write(bench.path("mark.yaml"), node("two")).unwrap();
    bench.until("mark", |b| b.zone("mark.yaml") == Some("two"));
    fs::write(bench.path("a.yaml"), node("two")).unwrap();
    bench.until("rewritten", |b| b.zone("a.yaml") == Some("two"));
    assert_eq!(bench.removed, Vec::<String>::new());
}

#[test]
fn a_file_that_is_still_being_written_is_not_read() {
    use std::io::Write;
    let mut bench =
        Bench::new(|directory| fs::write(directory.join("mark.yaml"), node("one")).unwrap());
    let text = node("one");
    let (head, tail) = text.split_at(20);
    let mut file = fs::File::create(bench.path("a.yaml")).unwrap();
    file.write_all(head.as_bytes()).unwrap();
    fs::write(bench.path("mark.yaml"), node("two")).unwrap();
    bench.until("mark", |b| b.zone("mark.yaml") == Some("two"));
    assert!(!bench.files.contains_key(&*bench.path("a.yaml")));
    file.write_all(tail.as_bytes()).unwrap();
    drop(file);
    bench.until("closed", |b| b.zone("a.yaml") == Some("one"));
}

#[test]
fn a_config_map_swap_is_one_batch_of_what_changed() {
    let mut bench = Bench::new(|directory| {
        let first = directory.join("..2024_01");
        fs::create_dir(&first).unwrap();
        for name in ["a.yaml", "b.yaml"] {
            fs::write(first.join(name), node("one")).unwrap();
            symlink(Path::new("..data").join(name), directory.join(name)).unwrap();
        }
        symlink("..2024_01", directory.join("..data")).unwrap();
    });
    assert_eq!(bench.zone("a.yaml"), Some("one"));
    let second = bench.path("..2024_02");
    fs::create_dir(&second).unwrap();
    fs::write(second.join("a.yaml"), node("two")).unwrap();
    fs::write(second.join("b.yaml"), node("one")).unwrap();
    symlink("..2024_02", bench.path("..data_tmp")).unwrap();
    fs::rename(bench.path("..data_tmp"), bench.path("..data")).unwrap();
    fs::remove_dir_all(bench.path("..2024_01")).unwrap();
    bench.until("swapped", |b| b.zone("a.yaml") == Some("two"));
    assert_eq!(bench.zone("b.yaml"), Some("one"));
    assert_eq!(bench.removed, Vec::<String>::new());
}

#[test]
fn a_directory_that_vanishes_keeps_everything_and_heals() {
    let mut bench = Bench::new(|directory| {
        fs::write(directory.join("a.yaml"), node("one")).unwrap();
        fs::write(directory.join("b.yaml"), node("one")).unwrap();
    });
    let away = bench.root.path().join("away");
    fs::rename(&bench.directory, &away).unwrap();
    bench.until("gone", |b| b.problems.len() == 1);
    assert!(bench.problems[0].starts_with("the configuration directory cannot be read"));
    assert_eq!(bench.files.len(), 2);

    fs::remove_dir_all(&away).unwrap();
    fs::create_dir(&bench.directory).unwrap();
    fs::write(bench.path("a.yaml"), node("two")).unwrap();
    bench.until("back", |b| {
        b.problems.is_empty() && b.zone("a.yaml") == Some("two")
    });
    bench.until("the other is gone", |b| b.files.len() == 1);

    fs::write(bench.path("a.yaml"), node("three")).unwrap();
    bench.until("watched again", |b| b.zone("a.yaml") == Some("three"));
}

#[test]
fn a_huge_file_and_a_fifo_are_reported_not_read() {
    let mut bench =
        Bench::new(|directory| fs::write(directory.join("a.yaml"), node("one")).unwrap());
    let huge = fs::File::create(bench.path("huge.yaml")).unwrap();
    huge.set_len(50 << 20).unwrap();
    drop(huge);
    bench.until("huge", |b| b.files.contains_key(&*b.path("huge.yaml")));
    let parsed = &bench.files[&*bench.path("huge.yaml")];
    assert!(!parsed.is_complete);
    assert!(
        parsed.problems[0].message.contains("52428800 bytes"),
        "{:?}",
        parsed.problems
    );

    rustix::fs::mknodat(
        rustix::fs::CWD,
        bench.path("fifo.yaml"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    fs::write(bench.path("a.yaml"), node("two")).unwrap();
    bench.until("still alive", |b| b.zone("a.yaml") == Some("two"));
}

#[test]
fn a_source_needs_a_directory() {
    let root = tempfile::tempdir().unwrap();
    let missing = root.path().join("missing");
    let error = FileSource::start(&missing, |_| ()).unwrap_err().to_string();
    assert!(
        error.contains("missing") && error.contains("--config"),
        "{error}"
    );
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let error = FileSource::start(&file, |_| ()).unwrap_err().to_string();
    assert!(error.contains("not a directory"), "{error}");
}
