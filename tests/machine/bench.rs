//! The simulated hardware: the kernel's `gpio-sim` as the line's GPIO chip, its `vivid` as the camera and as what is before it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gpiocdev::Request;
use gpiocdev::line::EdgeDetection;
use image::imageops::FilterType;

use crate::shell;

/// Lines that the service drives, in the order in which the observer knows them.
pub const OUTPUTS: [&str; 5] = ["REJECT", "GOOD", "BUSY", "HEALTHY", "STOP"];
/// Lines that the service reads.
const INPUTS: [&str; 5] = ["TRIGGER", "RESET", "CODE_0", "CODE_1", ENCODER];
/// Those of them that say which product is made, the lowest bit first.
pub const CODE: [&str; 2] = ["CODE_0", "CODE_1"];
/// The one that rises with each pulse of the belt's encoder.
pub const ENCODER: &str = "ENCODER";
/// A line of ours that rises with the trigger: it tells the kernel's time of the edge.
pub const WITNESS: &str = "WITNESS";
/// What the service captures from, by a name that stays.
pub const CAMERA: &str = "/dev/v4l/by-path/platform-vivid.0-video-index0";
/// What stands before the camera: frames that are written here are what it sees.
pub const BELT: &str = "/dev/v4l/by-path/platform-vivid.0-video-index1";
/// The cameras that show test pictures, in single buffers and in planes: what the driver calls them and their links below /dev.
const TEST_PICTURES: [(&str, &str); 2] = [("vivid-001-vid-cap", "test-picture"), ("vivid-002-vid-cap", "test-picture-planes")];
/// The camera's pictures.
pub const SIZE: (u32, u32) = (1280, 720);
/// Number of the timings 1280x720p25 in the kernel's list. Slower than 50 frames a second, because the simulated camera counts in ticks
/// of 10 ms and would lose frames.
const TIMINGS: u32 = 4;

/// A picture that can lie on the belt.
#[derive(Debug)]
pub struct Picture {
    /// Its file's name, with the folder: `good/000.png`.
    pub name: String,
    /// Red, green, blue.
    pub bytes: Vec<u8>,
}

/// Everything that stays the same over the scenarios.
#[derive(Debug)]
pub struct Bench {
    /// What the host gave: package, bundle, pictures.
    pub folder: PathBuf,
    /// Good and anomalous pictures.
    pub pictures: Vec<Picture>,
    chip: PathBuf,
}

impl Bench {
    /// Sets it up, once after the boot.
    pub fn set_up(folder: &Path) -> Result<Bench> {
        touch_memory()?;
        let chip = gpio()?;
        name_cameras()?;
        // Names of devices come a little after the devices.
        shell::must("udevadm settle")?;
        camera()?;
        hurry_camera()?;
        let pictures = pictures(&folder.join("pictures"))?;
        Ok(Bench { folder: folder.to_owned(), pictures, chip })
    }

    /// A file of a simulated line: `value` is what a program drives, `pull` what a program reads.
    pub fn line(&self, name: &str, file: &str) -> Result<PathBuf> {
        let number = lines().position(|line| line == name).with_context(|| format!("no line {name}"))?;
        Ok(self.chip.join(format!("sim_gpio{number}")).join(file))
    }

    /// The witness as a request that tells its rising edges.
    pub fn witness(&self) -> Result<Request> {
        let number = lines().position(|line| line == WITNESS).context("no witness")?;
        let device = Path::new("/dev").join(self.chip.file_name().context("the chip has no name")?);
        let mut request = Request::builder();
        request
            .on_chip(device)
            .with_consumer("machine-test")
            .with_line(number as u32)
            .with_edge_detection(EdgeDetection::RisingEdge);
        request.request().context("cannot request the witness")
    }

    /// The package, and the bundle where its configuration looks for it.
    pub fn install(&self) -> Result<()> {
        let folder = self.folder.display();
        if !shell::run("dpkg-query --show --showformat='${Status}' apc-runtime")?.text.contains("ok installed") {
            shell::must(&format!("dpkg --install {folder}/apc-runtime.deb"))?;
        }
        shell::must(&format!("install -m 644 {folder}/product.apc /var/lib/apc/product.apc")).map(drop)
    }

    /// The camera as it was after the boot.
    pub fn reset_camera(&self) -> Result<()> {
        shell::must(&format!("v4l2-ctl -d {CAMERA} -c percentage_of_dropped_buffers=0")).map(drop)
    }
}

/// Every line, in the order of the chip.
fn lines() -> impl Iterator<Item = &'static str> {
    INPUTS.into_iter().chain(OUTPUTS).chain([WITNESS])
}

/// The host gives a guest's memory when it is first used: not while a scenario counts.
fn touch_memory() -> Result<()> {
    let text = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).context("/proc/meminfo: no MemAvailable")?;
    let available: usize = line.trim().trim_end_matches(" kB").parse().context("/proc/meminfo: MemAvailable")?;
    let mut memory = vec![0_u8; available * 1024 / 16 * 15];
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    std::hint::black_box(&memory);
    Ok(())
}

fn gpio() -> Result<PathBuf> {
    let device = Path::new("/sys/kernel/config/gpio-sim/line");
    let bank = device.join("bank0");
    let write = |path: PathBuf, text: &str| fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()));
    let make = |path: &Path| fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()));
    make(&bank)?;
    write(bank.join("num_lines"), &lines().count().to_string())?;
    write(bank.join("label"), "line-io")?;
    for (number, name) in lines().enumerate() {
        let line = bank.join(format!("line{number}"));
        make(&line)?;
        write(line.join("name"), name)?;
    }
    write(device.join("live"), "1")?;
    let read = |path: PathBuf| fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()));
    let (device, chip) = (read(device.join("dev_name"))?, read(bank.join("chip_name"))?);
    Ok(Path::new("/sys/devices/platform").join(device.trim()).join(chip.trim()))
}

/// All simulated cameras have the same place in the machine, which is the first one's alone from now on.
fn name_cameras() -> Result<()> {
    let rule =
        |(name, link): &(&str, &str)| format!("SUBSYSTEM==\"video4linux\", ATTR{{name}}==\"{name}\", SYMLINK=\"{link}\"\n");
    let path = "/etc/udev/rules.d/61-machine-test.rules";
    fs::write(path, TEST_PICTURES.iter().map(rule).collect::<String>()).with_context(|| format!("cannot write {path}"))?;
    shell::must("udevadm control --reload && udevadm trigger --subsystem-match=video4linux").map(drop)
}

/// Output and input of the simulated camera joined, with nothing drawn over the picture.
fn camera() -> Result<()> {
    let (width, height) = SIZE;
    for node in [CAMERA, BELT] {
        shell::must(&format!("v4l2-ctl -d {node} --set-dv-bt-timings=index={TIMINGS}"))?;
    }
    shell::must(&format!("v4l2-ctl -d {CAMERA} -c hdmi_000_0_is_connected_to=2,osd_text_mode=2"))?;
    shell::must(&format!("v4l2-ctl -d {BELT} --set-fmt-video-out=width={width},height={height},pixelformat=RGB3"))?;
    Ok(())
}

/// A camera takes its pictures whatever the processor does; the simulated one is a kernel thread that must not wait for it. The kernel
/// makes it anew for each stream. (With a realtime priority it has been seen to stop the whole guest for a second.)
///
/// The belt's thread stays as it is: it spins while another holds the driver's lock, and in a hurry it would keep the processor from
/// whoever starts the camera, for a second and more.
fn hurry_camera() -> Result<()> {
    let hurry = || loop {
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let path = process.path();
            let is_camera = fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim_end().ends_with("-vid-cap"));
            // Of the fields of `stat` behind the name, the 17th is the nice value.
            let nice = |stat: String| stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(16).map(str::to_owned));
            if is_camera && fs::read_to_string(path.join("stat")).ok().and_then(nice).is_some_and(|nice| nice == "0") {
                let _ = shell::run(&format!("renice --priority -20 --pid {}", process.file_name().display()));
            }
        }
        thread::sleep(Duration::from_millis(100));
    };
    thread::Builder::new().name("hurry".into()).spawn(hurry).map(drop).context("cannot start a thread")
}

/// Pictures of both kinds, in turns.
fn pictures(folder: &Path) -> Result<Vec<Picture>> {
    let mut kinds = Vec::new();
    for kind in ["good", "anomalous"] {
        let entries = fs::read_dir(folder.join(kind)).with_context(|| format!("cannot list {}/{kind}", folder.display()))?;
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        kinds.push(paths);
    }
    let [good, anomalous] = &kinds[..] else { bail!("two kinds of pictures") };
    let mut pictures = Vec::new();
    for path in good.iter().zip(anomalous).flat_map(|(good, anomalous)| [good, anomalous]) {
        let picture = image::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let bytes = picture.resize_exact(SIZE.0, SIZE.1, FilterType::Triangle).into_rgb8().into_raw();
        let name = path.strip_prefix(folder).unwrap_or(path).display().to_string();
        pictures.push(Picture { name, bytes });
    }
    if pictures.is_empty() {
        bail!("{} holds no pictures", folder.display());
    }
    Ok(pictures)
}
