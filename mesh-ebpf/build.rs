//! For the kernel target only: links again when `bpf-linker` changes, and asks it for atomics that return a value.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PATH");
    if env::var_os("CARGO_CFG_TARGET_ARCH").is_none_or(|arch| arch != "bpf") {
        return;
    }
    // Instructions of BPF ISA v3 (kernel 5.12), which compilers do not use unasked.
    println!("cargo:rustc-link-arg-bins=--cpu-features=+alu32");
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
