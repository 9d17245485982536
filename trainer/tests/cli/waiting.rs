//! Waiting threads of libtorch: how the program starts itself again.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::place::Place;

/// An entry of `/proc/PID`: strings that end with a zero.
fn strings(process: &Child, entry: &str) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{}/{entry}", process.id())).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

fn spin_counts(process: &Child) -> Vec<String> {
    strings(process, "environ").into_iter().filter(|text| text.starts_with("GOMP_SPINCOUNT=")).collect()
}

#[test]
fn threads_spin_little_unless_the_user_decides_otherwise() {
    let place = Place::new(500);
    let mut command = place.command("run", &[]);
    command.env_remove("GOMP_SPINCOUNT").env_remove("OMP_WAIT_POLICY").stderr(Stdio::null());
    command.arg0("a name");
    let mut training = command.spawn().unwrap();
    while !place.path("run/finetune.checkpoint.safetensors").exists() && training.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (counts, arguments) = (spin_counts(&training), strings(&training, "cmdline"));
    training.kill().unwrap();
    training.wait().unwrap();
    assert_eq!(counts, ["GOMP_SPINCOUNT=1000"], "the same process has started again");
    let out = place.path("run").to_string_lossy().into_owned();
    assert_eq!((arguments[0].as_str(), arguments[1].as_str()), ("a name", "train"));
    assert!(arguments.contains(&out), "{arguments:?}");

    let mut command = place.command("users", &[]);
    command.env_remove("GOMP_SPINCOUNT").env("OMP_WAIT_POLICY", "active").stderr(Stdio::null());
    let mut training = command.spawn().unwrap();
    while !place.path("users/recipe.toml").exists() && training.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let counts = spin_counts(&training);
    training.kill().unwrap();
    training.wait().unwrap();
    assert!(place.path("users/recipe.toml").exists() && counts.is_empty(), "{counts:?}");
}
