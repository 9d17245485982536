//! `apc-export`: see `apc-export --help`.

fn main() -> std::process::ExitCode {
    apc_export::cli::main()
}
