//! `apc-trainer`: see `apc-trainer --help`.

fn main() -> std::process::ExitCode {
    apc_trainer::cli::main()
}
