//! Tells the trainer's executables where libtorch lives: torch-sys links it, but sets no run path for its dependents.

fn main() {
    // `links = "tch"` of torch-sys passes on the folder that it chose, be it LIBTORCH, LIBTORCH_LIB or PyTorch's own.
    println!("cargo::rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    println!("cargo::rerun-if-changed=build.rs");
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
