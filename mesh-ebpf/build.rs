//! For the kernel target only: links again when `bpf-linker` changes.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PATH");
    if env::var_os("CARGO_CFG_TARGET_ARCH").is_none_or(|arch| arch != "bpf") {
        return;
    }
    if let Some(linker) = find("bpf-linker") {
        println!("cargo:rerun-if-changed={}", linker.display());
    }
}

/// The program of this name in `PATH`.
fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}
