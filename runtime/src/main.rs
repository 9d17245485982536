//! `apc-runtime`: see [`apc_runtime`].

fn main() -> std::process::ExitCode {
    apc_runtime::cli::main()
}
