//! Energy of the whole machine or module, where the kernel shows it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Sensors are read at most this often: each reading may talk to a slow bus.
const INTERVAL: Duration = Duration::from_millis(50);

/// Energy between start and end. Everything on the machine counts, not only this program.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Energy {
    /// `powercap` (counters of the processor's packages) or `hwmon` (power sensors, sampled).
    pub source: &'static str,
    /// Mean power.
    pub watts: f64,
    /// Energy.
    pub joules: f64,
}

/// Measures from [`Meter::start`] to [`Meter::finish`].
#[derive(Debug)]
pub struct Meter {
    start: Instant,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Counters in microjoules: file, value at the start, and the value after which the counter begins again.
    Counters(Vec<(PathBuf, u64, u64)>),
    /// Sensors in microwatts, samples of their sum, time of the last one.
    Sensors(Vec<PathBuf>, Vec<u64>, Instant),
}

impl Meter {
    /// Begins to measure; `None` where the kernel shows nothing that this user may read. `sys` is `/sys`.
    pub fn start(sys: &Path) -> Option<Meter> {
        let start = Instant::now();
        let zones = entries(&sys.join("class/powercap"));
        // `intel-rapl:0` may be a package; `intel-rapl:0:1` is a part of that package and `intel-rapl-mmio:0` shows the same package again; both
        // are counted already.
        // `psys` is the whole board with its packages.
        let is_package = |zone: &PathBuf| {
            let text = |file: &str| fs::read_to_string(zone.join(file)).unwrap_or_default();
            name(zone).strip_prefix("intel-rapl:").is_some_and(|number| !number.contains(':'))
                && text("name").starts_with("package")
        };
        let packages = zones.into_iter().filter(is_package);
        let counters: Vec<_> = packages
            .filter_map(|zone| {
                Some((zone.join("energy_uj"), number(&zone.join("energy_uj"))?, number(&zone.join("max_energy_range_uj"))?))
            })
            .collect();
        if !counters.is_empty() {
            return Some(Meter { start, kind: Kind::Counters(counters) });
        }
        let chips = entries(&sys.join("class/hwmon")).into_iter().flat_map(|chip| entries(&chip));
        let is_power = |path: &PathBuf| name(path).starts_with("power") && name(path).ends_with("_input");
        let sensors: Vec<PathBuf> = chips.filter(|path| is_power(path) && number(path).is_some()).collect();
        let first = sensors.iter().filter_map(|path| number(path)).sum();
        (!sensors.is_empty()).then(|| Meter { start, kind: Kind::Sensors(sensors, vec![first], start) })
    }

    /// Reads the sensors, if the last reading is old enough. To be called between frames.
    pub fn sample(&mut self) {
        if let Kind::Sensors(sensors, samples, last) = &mut self.kind
            && last.elapsed() >= INTERVAL
        {
            samples.push(sensors.iter().filter_map(|path| number(path)).sum());
            *last = Instant::now();
        }
    }

    /// The energy since the start.
    pub fn finish(self) -> Energy {
        let seconds = self.start.elapsed().as_secs_f64();
        match self.kind {
            Kind::Counters(counters) => {
                let used = |(path, from, range): &(PathBuf, u64, u64)| {
                    let to = number(path).unwrap_or(*from);
                    if to >= *from { to - from } else { to + (range - from) }
                };
                let joules = counters.iter().map(used).sum::<u64>() as f64 * 1e-6;
                Energy { source: "powercap", watts: joules / seconds.max(f64::MIN_POSITIVE), joules }
            }
            Kind::Sensors(_, samples, _) => {
                let watts = samples.iter().sum::<u64>() as f64 / samples.len() as f64 * 1e-6;
                Energy { source: "hwmon", watts, joules: watts * seconds }
            }
        }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn counters_are_subtracted_and_may_begin_again() {
        let root = tempfile::tempdir().unwrap();
        for (zone, kind, energy) in [
            ("intel-rapl:0", "package-0\n", "9000000\n"),
            ("intel-rapl:0:0", "core\n", "5\n"),
            ("intel-rapl:1", "package-1\n", "0\n"),
            ("intel-rapl:2", "psys\n", "0\n"),
            ("intel-rapl-mmio:0", "package-0\n", "0\n"),
        ] {
            write(root.path(), &format!("class/powercap/{zone}/name"), kind);
            write(root.path(), &format!("class/powercap/{zone}/energy_uj"), energy);
            write(root.path(), &format!("class/powercap/{zone}/max_energy_range_uj"), "10000000\n");
        }
        let meter = Meter::start(root.path()).unwrap();
        write(root.path(), "class/powercap/intel-rapl:0/energy_uj", "1000000\n");
        write(root.path(), "class/powercap/intel-rapl:0:0/energy_uj", "999\n");
        write(root.path(), "class/powercap/intel-rapl:1/energy_uj", "500000\n");
        write(root.path(), "class/powercap/intel-rapl:2/energy_uj", "7000000\n");
        write(root.path(), "class/powercap/intel-rapl-mmio:0/energy_uj", "1000000\n");
        let energy = meter.finish();
        assert_eq!((energy.source, energy.joules), ("powercap", 2.5));
    }

    #[test]
    fn sensors_are_averaged() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "class/hwmon/hwmon0/power1_input", "3000000\n");
        write(root.path(), "class/hwmon/hwmon0/temp1_input", "40000\n");
        let mut meter = Meter::start(root.path()).unwrap();
        write(root.path(), "class/hwmon/hwmon0/power1_input", "5000000\n");
        std::thread::sleep(INTERVAL);
        meter.sample();
        let energy = meter.finish();
        assert_eq!((energy.source, energy.watts), ("hwmon", 4.0));
        assert!(energy.joules >= 0.2 - 1e-9, "{energy:?}");
    }

    #[test]
    fn a_machine_without_sensors_has_no_meter() {
        assert!(Meter::start(tempfile::tempdir().unwrap().path()).is_none());
    }
}
