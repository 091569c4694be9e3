//! Rules of the source tree that neither rustfmt nor clippy knows.

use std::fs;
use std::path::{Path, PathBuf};

/// The longest a Rust file may be, in lines.
const LINE_COUNT_MAX: usize = 600;

/// Endings of the files that people write and read here.
const TEXT_ENDINGS: &[&str] = &[
    "rs", "toml", "md", "yaml", "yml", "json", "proto", "py", "sh", "run",
];

struct Source {
    path: PathBuf,
    text: String,
}

#[test]
fn rust_files_are_short_enough_to_read() {
    check(&rust_files(), |source| {
        let line_count = source.text.lines().count();
        (line_count > LINE_COUNT_MAX)
            .then(|| format!("{line_count} lines, more than {LINE_COUNT_MAX}: split it"))
    });
}

#[test]
fn rust_files_begin_with_what_they_are_for() {
    check(&rust_files(), |source| {
        (!source.text.starts_with("//! ")).then(|| "first line is not a `//!` comment".to_owned())
    });
}

#[test]
fn no_test_is_ignored() {
    let attribute = concat!("#[", "ignore");
    check(&rust_files(), |source| line_with(source, attribute));
}

#[test]
fn no_work_is_left_in_comments() {
    check(&text_files(), |source| {
        [concat!("TO", "DO"), concat!("FIX", "ME")]
            .iter()
            .find_map(|mark| line_with(source, mark))
    });
}

#[test]
fn no_file_names_a_path_of_somebodys_machine() {
    check(&text_files(), |source| {
        [
            concat!("/ro", "ot/"),
            concat!("/ho", "me/"),
            concat!("/wo", "rk/"),
        ]
        .iter()
        .find_map(|prefix| absolute_path_below(source, prefix))
    });
}

#[test]
fn the_walk_finds_this_file() {
    let files = rust_files();
    assert!(
        files
            .iter()
            .any(|source| source.path.ends_with("xtask/tests/tidy.rs"))
    );
}

fn check(sources: &[Source], complaint: impl Fn(&Source) -> Option<String>) {
    let complaints: Vec<String> = sources
        .iter()
        .filter_map(|source| Some(format!("{}: {}", source.path.display(), complaint(source)?)))
        .collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn line_with(source: &Source, needle: &str) -> Option<String> {
    let (index, line) = source
        .text
        .lines()
        .enumerate()
        .find(|(_, line)| line.contains(needle))?;
    Some(format!("line {}: {}", index + 1, line.trim()))
}

/// Finds `prefix` where a path begins: not in `target/work/x` or `http://a/home/`.
fn absolute_path_below(source: &Source, prefix: &str) -> Option<String> {
    let begins_path = |line: &str| {
        line.match_indices(prefix).any(|(at, _)| {
            !line[..at]
                .ends_with(|before: char| before.is_alphanumeric() || "._-}".contains(before))
        })
    };
    let (index, line) = source
        .text
        .lines()
        .enumerate()
        .find(|(_, line)| begins_path(line))?;
    Some(format!("line {}: {}", index + 1, line.trim()))
}

fn rust_files() -> Vec<Source> {
    let mut files = text_files();
    files.retain(|source| source.path.extension().is_some_and(|ending| ending == "rs"));
    files
}

fn text_files() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies one level below the root");
    let mut files = Vec::new();
    collect(root, &mut files);
    files
}

fn collect(dir: &Path, files: &mut Vec<Source>) {
    for entry in fs::read_dir(dir).expect("source directories are readable") {
        let path = entry.expect("source directories are readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            let is_foreign = name == "target" || name == ".git" || name == "__pycache__";
            if !is_foreign {
                collect(&path, files);
            }
        } else if is_text(&name) {
            let text = fs::read_to_string(&path).expect("source files are UTF-8");
            files.push(Source { path, text });
        }
    }
}

fn is_text(name: &str) -> bool {
    let ending = name.rsplit('.').next().unwrap_or_default();
    TEXT_ENDINGS.contains(&ending)
}
