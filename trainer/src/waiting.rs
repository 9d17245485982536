//! How long libtorch's threads spin at a barrier before they sleep (`docs/decisions/0028-waiting-threads-sleep.md`).
//!
//! libtorch computes with OpenMP, mostly GNU's libgomp. Its threads meet at a barrier after every operation, and by default a thread
//! spins there for milliseconds before it sleeps. Beside other work, it takes the processor from the thread that it waits for.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::{env, io};

/// libgomp's variable for the number of turns that a waiting thread spins, and a number of about ten microseconds.
const SPIN: (&str, &str) = ("GOMP_SPINCOUNT", "1000");
/// Variables by which a user decides how threads wait.
const USERS_CHOICE: [&str; 2] = [SPIN.0, "OMP_WAIT_POLICY"];

/// Starts the program again with little spinning, unless the user has decided how threads wait. libgomp reads the variable when it is
/// loaded, which is before `main`: only a new start can set it.
///
/// The new program takes the place of this one (`execve`): process number, arguments, open files and terminal stay, and its exit code
/// is the process's. Call it before the program has done anything. Where the program cannot be started again, this one goes on.
pub fn spin_little() {
    if USERS_CHOICE.iter().any(|name| env::var_os(name).is_some()) {
        return;
    }
    let error = match env::current_exe() {
        // `ld.so apc-trainer ...`: the arguments are not those of the process's executable, which is the loader.
        Ok(program) if is_loader(&program) => return,
        Ok(program) => start_again(&program),
        Err(error) => error,
    };
    log::warn!("cannot start the program again with {}={}: {error}; it learns slowly beside other work", SPIN.0, SPIN.1);
}

/// Returns only when it fails.
fn start_again(program: &Path) -> io::Error {
    let mut args = env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    command.args(args).env(SPIN.0, SPIN.1).exec()
}

fn is_loader(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"ld"))
}
