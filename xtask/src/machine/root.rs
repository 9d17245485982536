//! The guest's root file system: a small Debian with systemd, fetched once.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::files::{install, write};
use crate::process;

/// Default source of packages.
const MIRROR: &str = "http://deb.debian.org/debian";
/// Debian's release: newer than most build machines, so that their programs run on it.
const SUITE: &str = "trixie";
/// systemd as the first process, tools that set the simulated hardware up, and strace, which makes a thread hang.
const PACKAGES: &str = "systemd,systemd-sysv,udev,dbus,kmod,v4l-utils,gpiod,procps,strace";
/// Documentation, which nobody reads in the guest, and drivers that no machine here needs.
const LEFT_OUT: [&str; 7] = [
    "share/doc",
    "share/man",
    "share/locale",
    "lib/modules/*/dtb",
    "lib/modules/*/kernel/drivers/gpu",
    "lib/modules/*/kernel/drivers/net",
    "lib/modules/*/kernel/sound",
];

/// Runs the test when all other units are up, and ends the machine after it.
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

/// Writes the image. fakeroot keeps the owners in it right, whoever runs this.
const SCRIPT: &str = r#"set -e
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
find root/usr/lib root/boot -type f -name vmlinuz -exec mv {} kernel ';' -o -type f -name 'initrd.img-*' -exec mv {} initrd ';'
truncate --size 1G root.ext4
mke2fs -q -t ext4 -O ^has_journal -d root root.ext4
rm -rf root"#;

/// A machine's root file system.
#[derive(Debug)]
pub struct Root {
    /// Debian's name of its processor.
    pub architecture: &'static str,
    /// More suites that packages may come from.
    pub suites: &'static [&'static str],
    /// Packages beside those that every machine gets.
    pub packages: &'static [&'static str],
    /// A line of shell that runs before packages are installed; `$1` is the root file system.
    pub prepare: &'static str,
    /// How the folder that the host shares is mounted, as a line of fstab.
    pub share: &'static str,
}

impl Root {
    /// A folder with `root.ext4`, and with `kernel` and `initrd` where they are among the packages.
    pub fn image(&self, cache: &Path, mirror: Option<&str>) -> Result<PathBuf> {
        let (root, image) = (cache.join("root"), cache.join("image"));
        let contents = format!("{SUITE} {PACKAGES} {LEFT_OUT:?} {self:?}");
        install(&root, &contents, |folder| self.fetch(&folder.join("root.tar"), mirror.unwrap_or(MIRROR)))?;
        install(&image, &format!("{contents}\n{UNIT}{SCRIPT}"), |folder| self.write(&root.join("root.tar"), folder))?;
        Ok(image)
    }

    fn fetch(&self, tar: &Path, mirror: &str) -> Result<()> {
        eprintln!("machine-test: fetching Debian {SUITE} for {} (some minutes, 110 to 240 MB)", self.architecture);
        let mut command = Command::new("mmdebstrap");
        command.args(["--quiet", "--variant=essential", "--aptopt=Apt::Install-Recommends \"false\""]);
        command.arg(format!("--architectures={}", self.architecture));
        command.arg(format!("--include={}", [&[PACKAGES], self.packages].concat().join(",")));
        command.arg(format!("--essential-hook={}", self.prepare));
        command.args(LEFT_OUT.map(|folder| format!("--dpkgopt=path-exclude=/usr/{folder}/*")));
        command.arg(SUITE).arg(tar);
        command.args([&[SUITE], self.suites].concat().iter().map(|suite| format!("deb {mirror} {suite} main")));
        process::run_to_success(&mut command, "cannot make a Debian root file system")
    }

    fn write(&self, tar: &Path, folder: &Path) -> Result<()> {
        eprintln!("machine-test: writing the image");
        write(&folder.join("fstab"), format!("{}\n", self.share))?;
        write(&folder.join("machine-test.service"), UNIT)?;
        let mut command = Command::new("fakeroot");
        command.args(["sh", "-c", SCRIPT, "sh"]).arg(tar).current_dir(folder);
        process::run_to_success(&mut command, "cannot write the image")
    }
}
