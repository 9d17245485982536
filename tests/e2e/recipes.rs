//! `apc-runtime run` on a line with several products, several cameras, and parts that are found in the picture.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use apc_tests::SyntheticRun;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Finished, bin, finish, product, run};

/// Nobody waits longer for the service.
const PATIENCE: Duration = Duration::from_secs(60);
/// In which the service takes note of something.
const NOTICE: Duration = Duration::from_millis(300);

/// A line without GPIO whose sensor waits for triggers, which come by socket.
const LINE: &str = "[line]\ndelay_ms = 1500.0\ntolerance_ms = 1000.0\nsimulated = true\nrecord = \"outputs.jsonl\"\npriority = 0\n\
                    [line.trigger]\nmode = \"software\"\nsocket = \"trigger.socket\"\nsensor_waits = true\n";
const BY_SOCKET: &str = "[line.recipe]\nsocket = \"recipe.socket\"\nstart = \"disc\"\n";

/// A second bundle of the same product, by another network.
fn other_bundle() -> &'static Path {
    static BUNDLE: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("other");
        fs::create_dir_all(&folder).unwrap();
        SyntheticRun { seed: 2, ..SyntheticRun::default() }.write(&folder.join("run"), &folder.join("data"));
        let bundle = folder.join("other.apc");
        let _ = fs::remove_file(&bundle);
        run("apc-export", ["bundle".into(), folder.join("run"), "-o".into(), bundle.clone(), "--no-evaluate".into()]).expect(0);
        bundle
    });
    &BUNDLE
}

fn images(kind: &str, numbers: impl Iterator<Item = usize>) -> Vec<PathBuf> {
    numbers.map(|number| product().data().join(format!("test/{kind}/{number:03}.png"))).collect()
}

/// A service under way.
struct Service {
    folder: TempDir,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Service {
    fn start(text: &str) -> Service {
        let folder = folder(text);
        let mut command = Command::new(bin("apc-runtime"));
        command.args(["run", "--config"]).arg(folder.path().join("line.toml"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut service = Service { folder, child, lines };
        service.wait_for("trigger.socket");
        service
    }

    fn wait_for(&mut self, socket: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.folder.path().join(socket).exists() {
            assert!(self.child.try_wait().unwrap().is_none() && Instant::now() < end, "no {socket}");
            sleep(Duration::from_millis(10));
        }
        // The cameras are opened after the lines.
        sleep(NOTICE);
    }

    fn send(&self, socket: &str, message: &[u8]) {
        UnixDatagram::unbound().unwrap().send_to(message, self.folder.path().join(socket)).unwrap();
    }

    /// So many parts, and their verdicts.
    fn parts(&mut self, count: usize) -> Vec<Value> {
        for _ in 0..count {
            self.send("trigger.socket", b"part");
            sleep(Duration::from_millis(60));
        }
        self.verdicts(count)
    }

    fn verdicts(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| serde_json::from_str(&self.lines.next().expect("a verdict").unwrap()).unwrap()).collect()
    }

    fn choose(&self, name: &str) -> Finished {
        let config = self.folder.path().join("line.toml");
        let chosen = finish(Command::new(bin("apc-runtime")).args(["line", "recipe", "--config"]).arg(config).arg(name));
        sleep(NOTICE);
        chosen
    }

    /// The service ends by itself; gives what it still told, and its log.
    fn end(self) -> (Vec<Value>, String) {
        let Service { child, lines, .. } = self;
        let rest = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        let output = child.wait_with_output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{log}");
        (rest, log)
    }

    fn changes(&self, output: &str) -> Vec<bool> {
        let text = fs::read_to_string(self.folder.path().join("outputs.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["output"] == output).map(|line| line["active"].as_bool().unwrap()).collect()
    }
}

fn folder(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("line.toml"), text).unwrap();
    folder
}

fn config(replay: &[PathBuf], more: &str) -> String {
    format!(
        "[detector]\nbundle = {:?}\n[source.replay]\nimages = {replay:?}\nsettle_frames = 2\n{LINE}{more}",
        product().bundle()
    )
}

fn all(lines: &[Value], key: &str) -> Vec<String> {
    lines.iter().map(|line| line[key].as_str().unwrap_or("null").to_owned()).collect()
}

/// What `score` says of the lines' images with this bundle.
fn scored(bundle: &Path, lines: &[Value]) -> Vec<Value> {
    let mut score = Command::new(bin("apc-runtime"));
    score.args(["score", "--json", "--model"]).arg(bundle).args(lines.iter().map(|line| line["source"].as_str().unwrap()));
    let document: Value = serde_json::from_str(&finish(&mut score).expect(0).stdout).unwrap();
    document["images"].as_array().unwrap().iter().map(|image| image["score"].clone()).collect()
}

#[test]
fn parts_are_judged_by_the_recipe_that_was_chosen_when_they_came() {
    let recipes =
        format!("[recipes.disc]\n[recipes.other]\nbundle = {:?}\n[recipes.strict]\nthreshold = 0.001\n", other_bundle());
    let pictures = [images("good", 0..6), images("spot", 0..2), images("good", 6..16)].concat();
    let mut service = Service::start(&config(&pictures, &(BY_SOCKET.to_owned() + &recipes)));

    let disc = service.parts(4);
    assert_eq!(
        (all(&disc, "recipe"), all(&disc, "verdict")),
        (vec!["disc".to_owned(); 4], vec!["good".to_owned(); 4]),
        "{disc:?}"
    );
    assert_eq!(scored(&product().bundle(), &disc), disc.iter().map(|line| line["score"].clone()).collect::<Vec<_>>());

    // Parts that are on their way to the actuator when the product changes keep theirs.
    for _ in 0..2 {
        service.send("trigger.socket", b"part");
        sleep(NOTICE);
    }
    service.choose("other").expect(0);
    let kept = service.verdicts(2);
    assert_eq!(
        (all(&kept, "recipe"), all(&kept, "verdict")),
        (vec!["disc".to_owned(); 2], vec!["good".to_owned(); 2]),
        "{kept:?}"
    );

    // The camera needs two frames.
    let changing = service.parts(2);
    assert_eq!(all(&changing, "reason"), ["recipe_change", "recipe_change"], "{changing:?}");
    assert_eq!(
        (all(&changing, "recipe"), all(&changing, "disposition")),
        (vec!["other".to_owned(); 2], vec!["reject".to_owned(); 2])
    );
    let other = service.parts(3);
    assert_eq!(all(&other, "recipe"), ["other"; 3]);
    let scores: Vec<_> = other.iter().map(|line| line["score"].clone()).collect();
    assert_eq!(scored(other_bundle(), &other), scores);
    assert_ne!(scored(&product().bundle(), &other), scores);
    assert!(all(&other, "bundle").iter().all(|bundle| *bundle != disc[0]["bundle"].as_str().unwrap()));

    service.choose("strict").expect(0);
    assert_eq!(all(&service.parts(2), "reason"), ["recipe_change", "recipe_change"]);
    let strict = service.parts(2);
    assert_eq!(all(&strict, "verdict"), ["anomalous"; 2], "its threshold is another: {strict:?}");
    assert_eq!((&strict[0]["bundle"], &strict[0]["threshold"]), (&disc[0]["bundle"], &Value::from(0.001)));
    service.choose("square").refused(&["square", "disc, other, strict"]);

    let last = service.parts(3);
    let parts: Vec<_> = [disc, kept, changing, other, strict, last].concat().iter().map(|line| line["part"].as_u64()).collect();
    assert_eq!(parts, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 16, 17, 18].map(Some));
    let (rest, log) = service.end();
    assert!(rest.is_empty() && log.contains("product other from now on"), "{rest:?} {log}");
}

#[test]
fn a_recipe_that_is_not_there_stops() {
    let pictures = images("good", 0..6);
    let mut service =
        Service::start(&config(&pictures, &format!("{BY_SOCKET}[recipes.disc]\n")).replace("settle_frames = 2", ""));
    assert_eq!(all(&service.parts(2), "verdict"), ["good"; 2]);
    assert!(service.changes("stop").is_empty());
    service.send("recipe.socket", b"square");
    sleep(NOTICE);
    let unknown = service.parts(2);
    assert_eq!(
        (all(&unknown, "reason"), all(&unknown, "disposition")),
        (vec!["no_recipe".to_owned(); 2], vec!["reject".to_owned(); 2])
    );
    assert_eq!((all(&unknown, "recipe"), all(&unknown, "bundle")), (vec!["null".to_owned(); 2], vec!["null".to_owned(); 2]));
    assert_eq!(service.changes("stop"), [true]);
    service.choose("disc").expect(0);
    assert_eq!(all(&service.parts(2), "verdict"), ["good"; 2]);
    let (rest, log) = service.end();
    assert!(rest.is_empty() && log.contains("belongs to no product"), "{rest:?} {log}");
}

#[test]
fn the_worst_of_all_views_counts_and_a_missing_view_is_unknown() {
    let (good, spot) = (images("good", 0..16), images("spot", 0..16));
    let main = [&good[0], &good[1], &spot[0], &good[2], &spot[1], &good[3]].map(Clone::clone);
    // It ends before the other.
    let side = [&good[4], &spot[2], &good[5]].map(Clone::clone);
    let view = format!("[views.side]\nbundle = {:?}\nthreshold = 0.001\nsource.replay.images = {side:?}\n", product().bundle());
    // The main view's threshold is the bundle's; the side's makes every picture that it sees anomalous.
    let mut service = Service::start(&config(&main, &view).replace("settle_frames = 2", ""));
    let seen = service.parts(3);
    assert_eq!(all(&seen, "verdict"), ["anomalous"; 3]);
    for (index, line) in seen.iter().enumerate() {
        let views = line["views"].as_array().unwrap();
        assert_eq!(all(views, "view"), ["main", "side"]);
        assert_eq!(all(views, "source"), [&main[index], &side[index]].map(|path| path.display().to_string()));
        assert_eq!(all(views, "verdict"), [if index == 2 { "anomalous" } else { "good" }, "anomalous"], "{line}");
        assert!(line.get("recipe").is_none(), "a line without recipes");
    }
    let half = service.parts(2);
    assert_eq!(all(&half, "verdict"), ["unknown", "anomalous"], "{half:?}");
    assert_eq!(
        (all(&half, "reason"), all(&half, "disposition")),
        (vec!["no_frame".into(), "null".into()], vec!["reject".to_owned(); 2])
    );
    assert_eq!(all(half[0]["views"].as_array().unwrap(), "verdict"), ["good", "unknown"]);
    service.parts(1);
    assert!(service.end().0.is_empty());
}

#[test]
fn a_part_in_many_frames_gets_one_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.png");
    image::RgbImage::from_pixel(96, 96, image::Rgb([60, 62, 66])).save(&empty).unwrap();
    let (good, spot) = (images("good", 0..3), images("spot", 0..1));
    let frames = [&empty, &empty, &good[0], &good[1], &good[1], &empty, &spot[0], &empty, &empty, &good[2]].map(Clone::clone);
    let presence = "[line.trigger.presence]\nregion = [32, 32, 32, 32]\nbelt = [50, 75]\n";
    let line = LINE.replace("mode = \"software\"\nsocket = \"trigger.socket\"\nsensor_waits = true\n", "mode = \"continuous\"\n");
    let text = format!(
        "[detector]\nbundle = {:?}\n[source.replay]\nimages = {frames:?}\nrate = 20.0\n{line}{presence}",
        product().bundle()
    );
    let config = self::folder(&text);
    let mut command = Command::new(bin("apc-runtime"));
    let finished = finish(command.args(["run", "--config"]).arg(config.path().join("line.toml"))).expect(0);
    let lines: Vec<Value> = finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all(&lines, "source"), [&good[0], &spot[0], &good[2]].map(|path| path.display().to_string()));
    assert_eq!(all(&lines, "verdict"), ["good", "anomalous", "good"]);
    assert_eq!(all(&lines, "disposition"), ["pass", "reject", "pass"]);
    assert_eq!(lines.iter().map(|line| line["part"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
}

#[test]
fn check_starts_every_recipe_and_states_the_memory() {
    let recipes = format!("{BY_SOCKET}[recipes.disc]\n[recipes.other]\nbundle = {:?}\ndelay_ms = 1600.0\n", other_bundle());
    let text = config(&images("good", 0..2), &recipes);
    let check = |text: &str| {
        let folder = folder(text);
        finish(Command::new(bin("apc-runtime")).args(["check", "--config"]).arg(folder.path().join("line.toml")))
    };
    let stdout = check(&text).expect(0).stdout;
    for words in ["memory: 2 bundles", "the limit is", "latency of disc", "latency of other", "before line.delay_ms"] {
        assert!(stdout.contains(words), "{words}: {stdout}");
    }
    let stdout = check(&text.replace("other.apc", "none.apc")).expect(1).stdout;
    assert!(stdout.contains("FAILED  bundle") && stdout.contains("none.apc"), "{stdout}");
    let stdout = check(&text.replace("\"disc\"\n", "\"disk\"\n")).expect(1).stdout;
    assert!(stdout.contains("FAILED  configuration") && stdout.contains("line.recipe.start is \"disk\""), "{stdout}");
}
