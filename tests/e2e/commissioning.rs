//! Commissioning a camera: its threshold, its models, a spare for it, the golden part, the images to learn from.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use apc_tests::product as pictures;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Finished, bin, finish, product, run};

/// A station of one test's own: a line configuration and a state folder beside it.
struct Station {
    folder: TempDir,
}

impl Station {
    /// With the active model as its bundle; `rest` is appended.
    fn new(rest: &str) -> Station {
        Station::with("active", rest)
    }

    fn with(bundle: &str, rest: &str) -> Station {
        let station = Station { folder: tempfile::tempdir().unwrap() };
        let images = product().data().join("test/good");
        let text = format!(
            "[detector]\nbundle = {bundle:?}\n[runtime]\nstate = \"state\"\n[frames]\nqueue = 64\nmax_age_ms = 60000\n\
             [source.replay]\nimages = {images:?}\nrate = 50.0\n{rest}\n"
        );
        fs::write(station.config(), text).unwrap();
        station
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("line.toml")
    }

    /// A command that takes `--config`.
    fn go<S: AsRef<OsStr>>(&self, command: &[&str], arguments: impl IntoIterator<Item = S>) -> Finished {
        finish(Command::new(bin("apc-runtime")).args(command).arg("--config").arg(self.config()).args(arguments))
    }

    fn calibrate(&self, arguments: &[&str]) -> Finished {
        let images = product().data().join("test/good");
        let images = ["--images", images.to_str().unwrap(), "--by", "ana"];
        self.go(&["calibrate"], images.iter().chain(arguments))
    }

    /// `model COMMAND ... --state STATE`
    fn model(&self, arguments: &[&OsStr]) -> Finished {
        finish(Command::new(bin("apc-runtime")).arg("model").args(arguments).arg("--state").arg(self.path("state")))
    }

    fn install(&self, bundle: &Path) {
        self.model(&["install".as_ref(), bundle.as_os_str()]).expect(0);
    }

    fn activate(&self, model: &str) -> Finished {
        self.model(&["activate".as_ref(), model.as_ref()])
    }

    fn verdicts(&self) -> Vec<(String, String, f64, f64)> {
        let finished = self.go(&["run"], [] as [&str; 0]).expect(0);
        let lines = finished.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let verdict = |line: Value| {
            let word = |key: &str| line[key].as_str().unwrap().to_owned();
            (word("source"), word("verdict"), line["score"].as_f64().unwrap(), line["threshold"].as_f64().unwrap())
        };
        lines.map(verdict).collect()
    }
}

/// A trigger every 50 ms beside frames every 20 ms: in a window of 18 ms there is never more than one.
const INTERVAL: &str =
    "loop = true\n[line]\ndelay_ms = 300\nsimulated = true\n[line.trigger]\nmode = \"interval\"\nevery_ms = 50\nwindow_ms = 9\n";

/// Another bundle of the same product: its memory bank holds floats, so that scores differ a little.
fn other_bundle(folder: &Path) -> PathBuf {
    let bundle = folder.join("other.apc");
    let arguments = ["bundle".into(), product().run(), "-o".into(), bundle.clone(), "--bank".into(), "f32".into()];
    let mut export = Command::new(bin("apc-export"));
    finish(export.args(arguments).arg("--no-evaluate")).expect(0);
    bundle
}

fn json(finished: Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

#[test]
fn each_recipe_has_a_threshold_of_its_own() {
    let recipes = "[line]\ndelay_ms = 300\nsimulated = true\npriority = 0\n[line.trigger]\nmode = \"frame\"\n\
                   [line.recipe]\nsocket = \"recipe.socket\"\nstart = \"disc\"\n[recipes.disc]\n[recipes.ring]\n\
                   [recipes.fixed]\nthreshold = 3.5\n";
    let station = Station::with(product().bundle().to_str().unwrap(), recipes);
    let document = json(station.calibrate(&["--rate", "0.2", "--recipe", "ring", "--json"]).expect(0));
    let threshold = format!("{:.4}", document["calibration"]["threshold"].as_f64().unwrap());
    let stdout = station.go(&["check"], [] as [&str; 0]).expect(0).stdout;
    let line = |recipe: &str| {
        let name = format!("threshold of main {recipe}: ");
        stdout.lines().find_map(|line| Some(line.split_once(&name)?.1.to_owned())).unwrap_or_else(|| panic!("{recipe}: {stdout}"))
    };
    assert!(line("disc").starts_with("the bundle's"), "{stdout}");
    assert!(line("ring").starts_with(&format!("this site's {threshold}")), "{stdout}");
    assert!(line("fixed").starts_with("the configuration's 3.5000"), "{stdout}");
    station.calibrate(&["--recipe", "fixed"]).refused(&["threshold of their own", "3.5"]);
    station.calibrate(&["--recipe", "nut"]).refused(&["no product nut", "disc, fixed, ring"]);
    let out = station.path("x.station");
    station.go(&["station", "export", "--out", out.to_str().unwrap()], [] as [&str; 0]).refused(&["one camera and one product"]);
    assert!(!out.exists());
    // The service begins with disc.
    let verdicts = station.verdicts();
    assert!(verdicts.iter().all(|(_, _, _, used)| format!("{used:.4}") != threshold) && !verdicts.is_empty());
}

#[test]
fn a_site_threshold_judges_until_something_else_runs() {
    let station = Station::with(product().bundle().to_str().unwrap(), "");
    let own = station.verdicts();
    let stdout = station.go(&["check"], [] as [&str; 0]).expect(0).stdout;
    assert!(stdout.contains("threshold: the bundle's") && stdout.contains("none of this site"), "{stdout}");

    let before = fs::read(product().bundle()).unwrap();
    let document = json(station.calibrate(&["--rate", "0.2", "--json"]).expect(0));
    assert_eq!(fs::read(product().bundle()).unwrap(), before, "the bundle never changes");
    assert_eq!((&document["supported"], &document["needed"], &document["by"]), (&true.into(), &5.into(), &"ana".into()));
    assert_eq!(document["calibration"]["images"], 16);
    // The scores of the 16 good parts decide: the threshold lies at place 17 * 0.8 = 13.6.
    let mut scores: Vec<f64> = own.iter().map(|(_, _, score, _)| *score).collect();
    scores.sort_by(f64::total_cmp);
    let threshold = document["calibration"]["threshold"].as_f64().unwrap();
    let expected = scores[12] + 0.6 * (scores[13] - scores[12]);
    assert!((threshold - expected).abs() < 1e-5 * expected, "{threshold} {expected}");

    let judged = station.verdicts();
    assert!(judged.iter().all(|(_, _, _, used)| *used == threshold) && own.iter().all(|(_, _, _, used)| *used != threshold));
    assert_eq!(judged.iter().filter(|(_, verdict, _, _)| verdict == "anomalous").count(), 3, "{judged:?}");
    let stdout = station.go(&["check"], [] as [&str; 0]).expect(0).stdout;
    let bundles = own[0].3;
    for words in ["this site's".into(), "by ana".into(), format!("{threshold:.4}"), format!("bundle's {bundles:.4}")] {
        assert!(stdout.contains(&words), "{words}: {stdout}");
    }
    let evaluate = |arguments: &[&str]| {
        let mut command = Command::new(bin("apc-runtime"));
        command.args(["evaluate", "--model"]).arg(product().bundle()).arg("--data").arg(product().data());
        finish(command.arg("--config").arg(station.config()).args(arguments)).expect(0)
    };
    let document = json(evaluate(&["--json"]));
    assert_eq!(document["site"]["threshold"].as_f64().unwrap(), threshold);
    assert_eq!(document["site"]["false_reject_rate"], 3.0 / 16.0);
    assert!(document["false_reject_rate"].as_f64().unwrap() < 3.0 / 16.0, "the bundle's own is shown too: {document}");
    assert!(evaluate(&[]).stdout.contains("threshold of this site"));

    // Another bundle on the same camera: no verdict from a threshold that was calibrated for something else.
    let other = other_bundle(station.folder.path());
    let args = ["--bundle".as_ref(), other.as_os_str()];
    station.go(&["run"], args).refused(&["the bundle", "apc-runtime calibrate --config FILE", "--clear"]);
    let text =
        fs::read_to_string(station.config()).unwrap().replace(product().bundle().to_str().unwrap(), other.to_str().unwrap());
    fs::write(station.config(), text).unwrap();
    let stdout = station.go(&["check"], [] as [&str; 0]).expect(1).stdout;
    assert!(stdout.contains("FAILED  threshold") && stdout.contains("calibrated for the bundle"), "{stdout}");
    station.go(&["calibrate"], ["--clear", "--by", "ben"]).expect(0);
    assert!(station.verdicts().iter().all(|(_, _, _, used)| *used != threshold));

    let log = fs::read_to_string(station.path("state/site/audit.jsonl")).unwrap();
    let log: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let set = &log[0]["set"]["threshold"];
    assert_eq!((&set["by"], set["previous"].as_f64()), (&"ana".into(), Some(bundles)));
    assert!(set["at"].as_u64().unwrap() > 1_700_000_000 && set["calibration"]["good_quantiles"].is_array());
    assert_eq!((log.len(), &log[1]["cleared"]["by"]), (2, &"ben".into()));
}

#[test]
fn a_threshold_from_too_few_parts_is_called_an_estimate() {
    let station = Station::with(product().bundle().to_str().unwrap(), "");
    let stdout = station.calibrate(&["--rate", "0.01"]).expect(0).stdout;
    for words in ["from 16 good parts", "an estimate and no promise", "at least 99", "nearest to a reject"] {
        assert!(stdout.contains(words), "{words}: {stdout}");
    }
    // Pictures that the bundle was made from would promise too much; copies say nothing new.
    let folder = station.path("mixed");
    fs::create_dir(&folder).unwrap();
    let images = |from: &str| fs::read_dir(product().data().join(from)).unwrap().map(|entry| entry.unwrap().path());
    for (i, path) in images("train/good").chain(images("test/good").take(3)).chain(images("test/good").take(3)).enumerate() {
        fs::copy(path, folder.join(format!("{i:03}.png"))).unwrap();
    }
    let threshold =
        || fs::read_dir(station.path("state/site/main")).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let before: Vec<_> = threshold().collect();
    let finished = station.go(&["calibrate"], ["--images", folder.to_str().unwrap()]).refused(&["3 good images", "at least 5"]);
    assert!(finished.stderr.contains("47 of 50 pictures are left out"), "{}", finished.stderr);
    assert_eq!(threshold().collect::<Vec<_>>(), before, "what judged goes on judging");
    station.calibrate(&["--rate", "1.5"]).refused(&["--rate is 1.5"]);
}

#[test]
fn parts_of_the_running_line_calibrate_too() {
    let trigger = "[line]\ndelay_ms = 300\nsimulated = true\n[line.trigger]\nmode = \"hardware\"\ninput = { line = \"T\" }\n";
    for rest in ["", INTERVAL] {
        let station = Station::with(product().bundle().to_str().unwrap(), rest);
        let document = json(station.go(&["calibrate"], ["--parts", "10", "--rate", "0.1", "--json"]).expect(0));
        assert_eq!(document["calibration"]["images"], 10, "{document}");
        assert!(document["highest"][0][0].as_str().unwrap().starts_with("part "), "{document}");
    }
    // A trigger line that is not there is named, as on the line.
    let station = Station::with(product().bundle().to_str().unwrap(), &trigger.replace("simulated = true\n", ""));
    station.go(&["calibrate"], ["--parts", "10"]).refused(&["line.trigger.input"]);
}

#[test]
fn models_are_installed_activated_and_rolled_back() {
    let station = Station::new("");
    station.go(&["run"], [] as [&str; 0]).refused(&["no model is active", "model install"]);
    station.install(&product().bundle());
    station.go(&["run"], [] as [&str; 0]).refused(&["no model is active"]);
    station.install(&other_bundle(station.folder.path()));
    station.activate("dis").expect(0);
    let first = station.verdicts();
    station.activate("other").expect(0);
    let rows = json(station.model(&["list".as_ref(), "--json".as_ref()]).expect(0));
    let row = |i: usize| {
        (rows[i]["product"].as_str().unwrap(), rows[i]["active"].as_bool().unwrap(), rows[i]["before"].as_bool().unwrap())
    };
    assert_eq!([row(0), row(1)], [("disc", false, true), ("disc", true, false)]);
    assert_eq!((&rows[0]["engine"], rows[0]["id"].as_str().unwrap().len()), (&"tract".into(), 64));
    assert!(rows[0]["self_test_difference"].as_f64().unwrap() <= rows[0]["self_test_tolerance"].as_f64().unwrap());
    let table = station.model(&["list".as_ref()]).expect(0).stdout;
    assert!(table.lines().next().unwrap().starts_with("- ") && table.lines().nth(1).unwrap().starts_with("* "), "{table}");
    let second = station.verdicts();
    assert!(first.iter().zip(&second).any(|(a, b)| a.2 != b.2), "another bundle scores otherwise");
    station.model(&["remove".as_ref(), "disc".as_ref()]).refused(&["the one to go back to"]);
    station.model(&["rollback".as_ref()]).expect(0);
    assert_eq!(station.verdicts(), first);
    station.model(&["rollback".as_ref()]).refused(&["nothing to go back to"]);
    station.activate("none").refused(&["none", "installed are", "other-"]);
    station.model(&["remove".as_ref(), "other".as_ref()]).expect(0);
    // A bundle that was changed in its place is not judged with.
    let path = fs::read_dir(station.path("state/models")).unwrap().map(|entry| entry.unwrap().path());
    let installed = path.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "apc")).unwrap();
    fs::copy(other_bundle(station.folder.path()), installed).unwrap();
    station.go(&["run"], [] as [&str; 0]).refused(&["not the bundle that was installed"]);
}

/// A station with everything: a model, a threshold, a golden part.
fn complete() -> Station {
    let station = Station::new("");
    station.install(&product().bundle());
    station.activate("disc").expect(0);
    station.calibrate(&["--rate", "0.2"]).expect(0);
    station.go(&["station", "golden"], ["--capture"]).expect(0);
    station
}

fn import(from: &Path, to: &Path) -> Finished {
    let arguments = ["station".into(), "import".into(), from.into(), "--config".into(), to.join("line.toml")];
    run("apc-runtime", arguments.into_iter().chain(["--state".into(), to.join("state")]))
}

#[test]
fn a_spare_camera_gives_the_same_verdicts() {
    let station = complete();
    let file = station.path("line1.station");
    station.go(&["station", "export"], ["-o".as_ref(), file.as_os_str()]).expect(0);
    let spare = Station { folder: tempfile::tempdir().unwrap() };
    let stdout = import(&file, spare.folder.path()).expect(0).stdout;
    assert!(stdout.contains("main: replay") && stdout.contains("station golden --check"), "{stdout}");
    assert_eq!(fs::read(spare.config()).unwrap(), fs::read(station.config()).unwrap());
    let (here, there) = (station.verdicts(), spare.verdicts());
    assert!(here == there && here.iter().any(|(_, verdict, _, _)| verdict == "anomalous"), "{here:?} {there:?}");
    let stdout = spare.go(&["check"], [] as [&str; 0]).expect(0).stdout;
    assert!(stdout.contains("threshold: this site's"), "{stdout}");
    spare.go(&["station", "golden"], ["--check"]).expect(0);
    let log = fs::read_to_string(spare.path("state/site/audit.jsonl")).unwrap();
    assert!(log.contains("imported") && log.contains("\"ana\""), "{log}");
    // Again, as after a power cut: it goes on. But nothing that differs is overwritten.
    import(&file, spare.folder.path()).expect(0);
    fs::write(spare.config(), "mine").unwrap();
    import(&file, spare.folder.path()).refused(&["line.toml", "is there already and differs"]);
    assert_eq!(fs::read(spare.config()).unwrap(), b"mine");
}

#[test]
fn a_station_file_that_is_not_sound_is_refused_and_changes_nothing() {
    let station = complete();
    let file = station.path("line1.station");
    station.go(&["station", "export"], ["-o".as_ref(), file.as_os_str()]).expect(0);
    let sound = fs::read(&file).unwrap();
    let spare = tempfile::tempdir().unwrap();
    let refuse = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        import(&file, spare.path()).refused(&["line1.station"]);
        assert_eq!(fs::read_dir(spare.path()).unwrap().count(), 0);
    };
    for length in [0, 511, 5000, sound.len() / 2, sound.len() - 1] {
        refuse(&sound[..length]);
    }
    for at in [0, 156, 700, sound.len() / 3, sound.len() / 2, sound.len() - 2000] {
        let mut flipped = sound.clone();
        flipped[at] ^= 1;
        refuse(&flipped);
    }
    // Somebody else's state folder.
    fs::write(&file, &sound).unwrap();
    let arguments = ["station".into(), "import".into(), file.clone(), "--config".into(), spare.path().join("line.toml")];
    run("apc-runtime", arguments.into_iter().chain(["--state".into(), spare.path().join("other")]))
        .refused(&["runtime.state leads to"]);
    assert!(!spare.path().join("line.toml").exists());
}

#[test]
fn a_station_is_bound_to_ports_and_managed_models() {
    let station = Station::with(product().bundle().to_str().unwrap(), "");
    let export = |station: &Station| station.go(&["station", "export"], ["-o".as_ref(), station.path("x.station").as_os_str()]);
    export(&station).refused(&["detector.bundle is not \"active\"", "model install"]);
    let camera =
        "[source.camera]\ndevice = \"/dev/v4l/by-id/usb-Maker_SN1234-index0\"\nformat = \"YUYV\"\nwidth = 640\nheight = 480\n";
    fs::write(station.config(), format!("[detector]\nbundle = \"active\"\n[runtime]\nstate = \"state\"\n{camera}")).unwrap();
    export(&station).refused(&["SN1234", "/dev/v4l/by-path/", "camera list"]);
}

#[test]
fn a_golden_part_that_moved_is_told_with_what_to_do() {
    let station = Station::with(product().bundle().to_str().unwrap(), "");
    let good = pictures::good(77);
    let save = |name: &str, picture: image::RgbImage| {
        let path = station.path(name);
        picture.save(&path).unwrap();
        path
    };
    let golden = |arguments: &[&OsStr]| station.go(&["station", "golden"], arguments);
    let same = save("golden.png", good.clone());
    golden(&["--check".as_ref(), "--image".as_ref(), same.as_os_str()]).refused(&["no golden part", "--capture"]);
    golden(&["--capture".as_ref(), "--image".as_ref(), same.as_os_str(), "--by".as_ref(), "ana".as_ref()]).expect(0);
    let check = |picture: image::RgbImage, code: i32| {
        let path = save("now.png", picture);
        json(golden(&["--check".as_ref(), "--json".as_ref(), "--image".as_ref(), path.as_os_str()]).expect(code))
    };
    assert_eq!(check(good.clone(), 0)["holds"], true);
    let side = pictures::SIDE;
    let shifted = image::RgbImage::from_fn(side, side, |x, y| *good.get_pixel(x.saturating_sub(5), (y + 2).min(side - 1)));
    let document = check(shifted, 1);
    let failed: Vec<_> = document["findings"].as_array().unwrap().iter().filter(|one| one["holds"] == false).collect();
    assert_eq!(failed.len(), 1, "{document}");
    let text = failed[0]["text"].as_str().unwrap();
    assert!(failed[0]["what"] == "position" && text.starts_with("5.0 px to the right, 2.0 px up"), "{document}");
    assert!(failed[0]["advice"].as_str().unwrap().contains("move the camera"), "{document}");
    let dark = image::RgbImage::from_fn(side, side, |x, y| {
        image::Rgb(good.get_pixel(x, y).0.map(|value| (f32::from(value) * 0.8) as u8))
    });
    let finished = golden(&["--check".as_ref(), "--image".as_ref(), save("dark.png", dark).as_os_str()]).expect(1);
    assert!(
        finished.stdout.contains("FAILED  brightness: red -20") && finished.stdout.contains("ok      position"),
        "{finished:?}"
    );
    // The limits are the configuration's.
    let text = fs::read_to_string(station.config()).unwrap();
    fs::write(station.config(), format!("{text}[golden]\nshift_percent = 10.0\nbrightness_percent = 30.0\n")).unwrap();
    golden(&["--check".as_ref(), "--image".as_ref(), station.path("dark.png").as_os_str()]).expect(0);
}

#[test]
fn collected_pictures_carry_their_part_and_session() {
    for rest in ["", INTERVAL] {
        let station = Station::with("none.apc", rest);
        let out = station.path("images");
        let collect = |arguments: &[&str]| {
            station
                .go(&["camera", "collect"], ["-o".as_ref(), out.as_os_str()].into_iter().chain(arguments.iter().map(OsStr::new)))
        };
        collect(&["--count", "5", "--session", "monday"]).expect(0);
        let records = fs::read_to_string(out.join("monday.jsonl")).unwrap();
        let records: Vec<Value> = records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let saved: Vec<_> = records.iter().filter(|record| record["file"].is_string()).collect();
        assert_eq!(saved.len(), 5, "{records:?}");
        let parts: Vec<_> = records.iter().map(|record| record["part"].as_u64().unwrap()).collect();
        assert_eq!(parts, (1..=records.len() as u64).collect::<Vec<_>>(), "each part once, in order");
        for record in saved {
            let name = record["file"].as_str().unwrap();
            assert_eq!(name, format!("monday-{:06}.png", record["part"].as_u64().unwrap()));
            let read = |path: &Path| detector::picture::Picture::read(path).unwrap().pixels;
            assert_eq!(read(&out.join(name)), read(Path::new(record["source"].as_str().unwrap())), "lossless");
        }
        collect(&["--count", "5", "--session", "monday"]).refused(&["monday", "another"]);
        // Without a file for every part, the session says why.
        assert!(records.iter().all(|record| record["file"].is_string() != record["problem"].is_string()));
    }
}

#[test]
fn only_what_the_trigger_sees_is_collected() {
    let software = INTERVAL.replace("\"interval\"\nevery_ms = 50", "\"software\"\nsocket = \"trigger\"");
    let station = Station::with("none.apc", &software);
    let out = station.path("images");
    let mut collect = Command::new(bin("apc-runtime"));
    collect.args(["camera", "collect", "--count", "3", "--session", "s", "--config"]).arg(station.config()).arg("-o").arg(&out);
    let mut child = collect.stdout(Stdio::null()).spawn().unwrap();
    // Until the socket is there nobody listens; from then on each one is a part.
    let mut triggered = 0;
    while child.try_wait().unwrap().is_none() {
        assert!(triggered < 100, "three of a hundred triggers find their frame");
        triggered += u64::from(station.go(&["line", "trigger"], [] as [&str; 0]).code == Some(0));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert!(child.wait().unwrap().success());
    let records = fs::read_to_string(out.join("s.jsonl")).unwrap();
    let records: Vec<Value> = records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.iter().filter(|record| record["file"].is_string()).count(), 3, "{records:?}");
    assert!(records.len() as u64 <= triggered, "{triggered} triggers, and frames came all the time: {records:?}");
}
