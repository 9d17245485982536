//! The guest's root file system: a small Debian with systemd, fetched once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::wheel::install;

/// Newer than most build machines, so that what they build runs there.
const SUITE: &str = "trixie";
/// systemd as the first process; what sets the simulated hardware up; and strace, to make a thread hang.
const PACKAGES: &str = "systemd,systemd-sysv,udev,dbus,kmod,v4l-utils,gpiod,procps,strace";

/// Mounts the folder that the host shares.
const FSTAB: &str = "none /host hostfs defaults 0 0\n";
/// Runs the test when everything else is up, and ends the machine after it.
const UNIT: &str = "\
[Unit]
Description=Machine test
After=multi-user.target
RequiresMountsFor=/host
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
ExecStart=/host/apc-machine /host
StandardOutput=tty
StandardError=inherit
TTYPath=/dev/console
";

/// An ext4 image of it.
pub fn image(cache: &Path, mirror: Option<&str>) -> Result<PathBuf> {
    let (root, image) = (cache.join("root"), cache.join("image"));
    let contents = format!("{SUITE} {PACKAGES}");
    install(&root, &contents, |folder| fetch(&folder.join("root.tar"), mirror))?;
    install(&image, &format!("{contents}\n{FSTAB}{UNIT}"), |folder| write(&root.join("root.tar"), folder))?;
    Ok(image.join("root.ext4"))
}

fn fetch(tar: &Path, mirror: Option<&str>) -> Result<()> {
    eprintln!("machine-test: fetching Debian {SUITE} (a minute, 110 MB)");
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--variant=essential", "--aptopt=Apt::Install-Recommends \"false\""]);
    command.arg(format!("--include={PACKAGES}"));
    for folder in ["doc", "man", "locale"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{folder}/*"));
    }
    command.arg(SUITE).arg(tar).args(mirror.map(|mirror| format!("deb {mirror} {SUITE} main")));
    process::run_to_success(&mut command, "cannot make a Debian root file system")
}

fn write(tar: &Path, folder: &Path) -> Result<()> {
    eprintln!("machine-test: writing the image");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"));
    write("fstab", FSTAB)?;
    write("machine-test.service", UNIT)?;
    // fakeroot keeps the owners in the image right, whoever runs this.
    let script = r#"set -e
mkdir root
tar --extract --file "$1" --directory root --exclude './dev/*'
mkdir root/host
cat fstab >> root/etc/fstab
echo camera > root/etc/hostname
units=root/etc/systemd/system
mkdir -p $units/multi-user.target.wants
cp machine-test.service $units/
ln -s ../machine-test.service $units/multi-user.target.wants/
ln -s /dev/null $units/getty@.service
ln -s /dev/null $units/serial-getty@.service
truncate --size 1G root.ext4
mke2fs -q -t ext4 -O ^has_journal -d root root.ext4
rm -rf root"#;
    let mut command = Command::new("fakeroot");
    command.args(["sh", "-c", script, "sh"]).arg(tar).current_dir(folder);
    process::run_to_success(&mut command, "cannot write the image")
}
