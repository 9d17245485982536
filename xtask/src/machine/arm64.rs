//! A 64-bit ARM machine with Debian's own kernel, emulated by QEMU: the program and the package that a camera gets.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::parts::{CAMERA, Files, KERNEL, Machine};
use super::product::Source;
use super::root::Root;
use super::tools;
use crate::cross;
use crate::workspace::Workspace;

/// Programs beside those that every machine needs: the emulator of the machine, and the emulator of a processor for the root file system's
/// own programs.
const PROGRAMS: [(&str, &str); 2] = [("qemu-system-aarch64", "qemu-system-arm"), ("qemu-aarch64-static", "qemu-user-static")];

/// Exists where this computer's kernel starts programs of the other processor.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc/qemu-aarch64";

/// The initial file system gets only the drivers that the kernel needs to mount the root file system.
const INITRD: &str = r#"cd "$1"
mkdir -p etc/initramfs-tools/conf.d usr/share/initramfs-tools/modules.d
echo MODULES=list > etc/initramfs-tools/conf.d/machine-test
printf '%s\n' virtio_pci virtio_blk ext4 > usr/share/initramfs-tools/modules.d/machine-test"#;

/// The machine; an error names what this computer lacks for it.
pub fn machine(workspace: &Workspace) -> Result<Machine> {
    if let Some(missing) = cross::missing(false) {
        bail!(missing);
    }
    tools::check(&PROGRAMS)?;
    if !Path::new(BINFMT).exists() {
        bail!(
            "this machine does not start ARM programs, there is no {BINFMT}: as root, `mount -t binfmt_misc none \
             /proc/sys/fs/binfmt_misc` where nothing is mounted there, then `/usr/lib/systemd/systemd-binfmt`"
        );
    }
    Ok(Machine {
        name: "arm64",
        target: Some(cross::TARGET),
        root: Root {
            architecture: "arm64",
            // Debian's older kernels have no gpio-sim.
            suites: &["trixie-backports"],
            packages: &["linux-image-arm64/trixie-backports", "initramfs-tools"],
            prepare: INITRD,
            share: "host /host 9p trans=virtio,version=9p2000.L,msize=262144 0 0",
        },
        // An emulated processor takes seconds for a frame of a real network.
        product: Source::rendered(workspace.root().join("tests/machine/tiny.toml")),
        scenarios: "arm64",
        long: None,
        start: Box::new(start),
    })
}

fn start(command: &mut Command, files: &Files<'_>) {
    command.args(["qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a72", "-m", "1536"]);
    // The guest's time advances by 2 ns with each instruction and skips idle periods: the guest sees a steady processor, however slow the
    // emulation is and however busy this computer.
    command.args(["-icount", "shift=1,sleep=off"]);
    command.arg("-kernel").arg(files.image.join("kernel")).arg("-initrd").arg(files.image.join("initrd"));
    let words = ["console=ttyAMA0", "root=/dev/vda", "modules_load=vivid,gpio-sim"];
    command.arg("-append").arg([&words[..], &KERNEL, &CAMERA].concat().join(" "));
    // Changes go into a file of their own that QEMU removes.
    command.env("TMPDIR", files.scratch);
    command.arg("-drive").arg(format!("if=none,id=root,format=raw,snapshot=on,file={}", value(&files.image.join("root.ext4"))));
    command.args(["-device", "virtio-blk-pci,drive=root", "-device", "virtio-rng-pci"]);
    let share = value(files.share);
    command.arg("-virtfs").arg(format!("local,path={share},mount_tag=host,security_model=none,readonly=on,multidevs=remap"));
    command.args(["-nic", "none", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"]);
}

/// A path as the value of an option, where a comma would begin the next one.
fn value(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_gets_its_files_wherever_they_lie() {
        let path = |name| Path::new("/a,b").join(name);
        let (image, share, scratch) = (path("image"), path("share"), path("scratch"));
        let mut command = Command::new("timeout");
        start(&mut command, &Files { image: &image, share: &share, scratch: &scratch });
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        assert!(arguments.iter().any(|argument| argument.ends_with("snapshot=on,file=/a,,b/image/root.ext4")));
        assert!(arguments.iter().any(|argument| argument.starts_with("local,path=/a,,b/share,mount_tag=host")));
        assert!(arguments.iter().any(|argument| argument == "/a,b/image/kernel"));
        assert!(command.get_envs().any(|(name, value)| name == "TMPDIR" && value == Some(scratch.as_os_str())));
    }
}
