//! A production line that changes its product, in virtual time. The code's GPIO lines, the line thread, the capture thread and a camera
//! that changes its settings late have different delays. Each verdict is compared with the true code and the true settings of the camera.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use config::line::{ControlConfig, Timing, Travel, TriggerBy, TriggerConfig};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use verdict::{Disposition, Reason, Verdict};

use super::action::{Action, Decision};
use super::choice::{Change, Choice, ChoiceEvent};
use super::control::{Control, Event};
use super::matching::{Match, Matching, MatchingEvent};
use super::part::Place;
use super::trigger::TriggeredPart;
use crate::camera::Settling;

const PRODUCTS: usize = 3;
/// One code more than products: the last code belongs to no product.
const CODES: usize = PRODUCTS + 1;
const SETTLE: u64 = 10;
const SETTLE_FRAMES: u32 = 2;
/// Time between two frames, and from an exposure to the capture thread.
const PERIOD: u64 = 10;
const TRANSPORT: u64 = 7;
/// Longest time from an edge to the line thread, and longest stall of the capture thread.
const LAG: u64 = 4;
const STALL: u64 = 30;
const DELAYS: [u64; PRODUCTS] = [400, 450, 430];
const END: u64 = 4000;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The product on whose settings a frame was truly taken; none while the settings were changing.
type Truth = Option<usize>;

struct World {
    random: StdRng,
    start: Instant,
    /// The true code at each millisecond, the times of its changes, and the times of the triggers.
    code: Vec<usize>,
    changes: Vec<u64>,
    triggers: Vec<u64>,
    /// For each time the edges that the line thread reads then: `(time of the edge, whether it is an edge of the code)`.
    edges: BTreeMap<u64, Vec<(u64, bool)>>,
    choice: Choice,
    control: Control,
    chosen: usize,
    parts: u64,
    /// Trigger time of each part.
    triggered: BTreeMap<u64, u64>,
    /// Parts on their way from line thread to capture thread.
    announced: Vec<TriggeredPart>,
    matching: Matching<(Option<usize>, Truth)>,
    settling: Settling,
    product: usize,
    busy_until: u64,
    /// The camera: the product whose settings it was given, and frames until it uses them.
    set: (usize, u32),
    frames: Vec<(u64, Truth)>,
    judged: BTreeMap<u64, (usize, Truth)>,
    decided: Vec<Decision>,
}

impl World {
    /// Code changes come as bursts of edges; triggers at least 30 ms apart.
    fn new(seed: u64, changes: &[u64], pauses: &[u64]) -> World {
        let mut random = StdRng::seed_from_u64(seed);
        let mut code = vec![0; END as usize + 1];
        let mut edges: BTreeMap<u64, Vec<(u64, bool)>> = BTreeMap::new();
        let mut changed = vec![];
        let mut at = 200;
        for pause in changes {
            at += pause;
            let mut edge = at;
            for _ in 0..random.random_range(1..4) {
                if edge < END {
                    let value = random.random_range(0..CODES);
                    code[edge as usize..].fill(value);
                    changed.push(edge);
                    edges.entry(edge + random.random_range(0..LAG)).or_default().push((edge, true));
                }
                edge += random.random_range(1..8);
            }
        }
        let mut triggers = vec![];
        let mut at = 100;
        for pause in pauses {
            at += pause;
            if at < END {
                triggers.push(at);
                edges.entry(at + random.random_range(0..LAG)).or_default().push((at, false));
            }
        }
        let control = ControlConfig {
            spacing: Travel::Time(ms(21)),
            timings: DELAYS.map(|delay| Timing { delay: Travel::Time(ms(delay)), deadline: None }).to_vec(),
            ..super::simulation::config()
        };
        let trigger = TriggerConfig { by: TriggerBy::Frame, sensor_waits: false, exposure: ms(0), window: ms(5) };
        World {
            random,
            start: Instant::now(),
            code,
            changes: changed,
            triggers,
            edges,
            choice: Choice::by_code(ms(SETTLE), false, ms(0)),
            matching: Matching::new(&trigger, control.parts),
            control: Control::new(control),
            chosen: 0,
            parts: 0,
            triggered: BTreeMap::new(),
            announced: vec![],
            settling: Settling::new(0, SETTLE_FRAMES),
            product: 0,
            busy_until: 0,
            set: (0, 0),
            frames: vec![],
            judged: BTreeMap::new(),
            decided: vec![],
        }
    }

    fn run(mut self) -> World {
        for now in 0..END + 1000 {
            self.camera(now);
            self.line_thread(now);
            self.capture_thread(now);
        }
        self
    }

    fn camera(&mut self, now: u64) {
        if now % PERIOD == 3 {
            let (product, left) = self.set;
            self.set.1 = left.saturating_sub(1);
            self.frames.push((now, (left == 0).then_some(product)));
        }
    }

    fn line_thread(&mut self, now: u64) {
        let time = ms(now);
        for (at, is_code) in self.edges.remove(&now).unwrap_or_default() {
            if is_code {
                self.choose(ChoiceEvent::Edge { at: ms(at) }, time);
                continue;
            }
            self.parts += 1;
            let (product, doubt) = self.choice.at(ms(at));
            let part = TriggeredPart { part: self.parts, at: ms(at), product, doubt };
            self.triggered.insert(self.parts, at);
            self.step(Event::Triggered { part: part.part, place: Place { at: part.at, count: 0 }, product, doubt }, time);
            self.announced.push(part);
        }
        if self.choice.due().is_some_and(|due| due <= time) {
            let code = self.code[(now as usize).min(END as usize)];
            self.choose(ChoiceEvent::Read((code < PRODUCTS).then_some(code)), time);
        }
        self.step(Event::Tick, time);
    }

    fn choose(&mut self, event: ChoiceEvent, now: Duration) {
        match self.choice.step(event, now) {
            Some(Change::Doubt { since }) => self.step(Event::Doubt { since }, now),
            Some(Change::Chosen(product)) => self.chosen = product,
            Some(Change::NoSuchProduct) => self.step(Event::NoSuchProduct, now),
            None => {}
        }
    }

    fn step(&mut self, event: Event, now: Duration) {
        let World { control, decided, .. } = self;
        control.step(event, now, &mut |action| {
            if let Action::Decided(decision) = action {
                decided.push(decision);
            }
        });
    }

    fn capture_thread(&mut self, now: u64) {
        if now < self.busy_until {
            return;
        }
        if self.random.random_bool(0.02) {
            self.busy_until = now + self.random.random_range(0..STALL);
        }
        let time = ms(now);
        let mut matches = vec![];
        let World { matching, announced, .. } = self;
        let mut take = |matched| matches.push(matched);
        announced.drain(..).for_each(|part| matching.step(MatchingEvent::Part(part), time, &mut take));
        if self.chosen != self.product && !self.matching.waits_for_other_than(self.chosen) {
            self.product = self.chosen;
            self.settling.change(self.product, false, self.start + time);
            // A frame that is exposed now is on neither settings; the camera uses the new settings after at most SETTLE_FRAMES frames.
            self.set = (self.product, self.random.random_range(0..=SETTLE_FRAMES));
        }
        let World { matching, frames, settling, start, .. } = self;
        frames.retain(|(at, truth)| {
            let here = at + TRANSPORT <= now;
            if here {
                let frame = (settling.taken(*start + ms(*at)), *truth);
                matching.step(MatchingEvent::Frame { at: ms(*at), frame }, time, &mut |matched| matches.push(matched));
            }
            !here
        });
        matching.step(MatchingEvent::Tick, time, &mut |matched| matches.push(matched));
        for matched in matches {
            let (part, judgeable) = match matched {
                Match::Bound(part, (taken, truth)) => (part.part, part.judgeable(taken).map(|()| (part.product, truth))),
                Match::Unmatched(part, reason) => (part.part, Err(reason)),
                Match::Surplus(_) => continue,
            };
            let verdict = match judgeable {
                Ok(judged) => {
                    self.judged.insert(part, judged);
                    Verdict::Good
                }
                Err(reason) => Verdict::Unknown(reason),
            };
            self.step(Event::Judged { part, view: 0, verdict }, time);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_part_is_judged_as_its_own_product_or_unknown(
        seed in any::<u64>(),
        changes in prop::collection::vec(prop_oneof![5u64..60, 100u64..900], 0..12),
        pauses in prop::collection::vec(30u64..120, 10..120),
    ) {
        let world = World::new(seed, &changes, &pauses).run();
        let parts: Vec<u64> = world.decided.iter().map(|decided| decided.part).collect();
        prop_assert_eq!(&parts, &(1..=world.triggers.len() as u64).collect::<Vec<_>>(), "each part once, in order");
        for decided in &world.decided {
            let at = world.triggered[&decided.part];
            let calm = |from: u64| !world.changes.iter().any(|change| (from..=at).contains(change));
            let code = world.code[at as usize];
            if decided.verdict == Verdict::Good {
                let (product, truth) = world.judged[&decided.part];
                prop_assert_eq!((product, truth), (code, Some(code)), "part {} at {}", decided.part, at);
                prop_assert!(decided.after == ms(DELAYS[code]) && decided.disposition == Disposition::Pass, "the delay of its product");
            } else {
                // Long after the last change, the product is no reason for an unknown part.
                let expected = match decided.verdict {
                    Verdict::Unknown(Reason::ProductChange) => at < 250 || !calm(at - 250),
                    Verdict::Unknown(Reason::NoProduct) => code == PRODUCTS || !calm(at.saturating_sub(100)),
                    // Triggers and frames have different periods, and the products have different delays.
                    Verdict::Unknown(Reason::Ambiguous | Reason::NoFrame | Reason::Crowded) => true,
                    other => { prop_assert!(false, "{:?}", other); false }
                };
                prop_assert!(expected, "part {} at {}: {:?}", decided.part, at, decided.verdict);
            }
        }
    }
}

#[test]
fn most_parts_are_judged() {
    let (mut good, mut changing, mut all) = (0, 0, 0);
    for seed in 0..20 {
        let world = World::new(seed, &[300, 700, 900, 800], &[60; 60]).run();
        all += world.decided.len();
        good += world.decided.iter().filter(|decided| decided.verdict == Verdict::Good).count();
        changing += world.decided.iter().filter(|decided| decided.verdict == Verdict::Unknown(Reason::ProductChange)).count();
    }
    assert!(good > all / 3 && changing > 20, "{good} good, {changing} while changing, of {all}: too easy or too hard a line");
}

/// When good parts with these `(trigger time, product)` are decided, and their verdicts.
fn decided(parts: &[(u64, usize)]) -> Vec<(Duration, Verdict)> {
    let delays = [400, 300].map(|delay| Timing { delay: Travel::Time(ms(delay)), deadline: None });
    let mut control = Control::new(ControlConfig { timings: delays.to_vec(), ..super::simulation::config() });
    let mut verdicts = vec![];
    for now in (0..2000).map(ms) {
        let mut take = |action| {
            if let Action::Decided(decided) = action {
                verdicts.push((now, decided.verdict));
            }
        };
        for (part, (at, product)) in (1..).zip(parts).filter(|(_, (at, _))| ms(*at) == now) {
            let (place, product) = (Place { at: ms(*at), count: 0 }, *product);
            control.step(Event::Triggered { part, place, product, doubt: None }, now, &mut take);
            control.step(Event::Judged { part, view: 0, verdict: Verdict::Good }, now, &mut take);
        }
        control.step(Event::Tick, now, &mut take);
    }
    verdicts
}

#[test]
fn parts_of_different_delays_must_not_meet_at_the_actuator() {
    let crowded = Verdict::Unknown(Reason::Crowded);
    assert_eq!(decided(&[(100, 0), (300, 1)]), [(ms(500), Verdict::Good), (ms(600), Verdict::Good)]);
    assert_eq!(decided(&[(100, 0), (205, 1)]), [(ms(500), crowded), (ms(505), crowded)], "far apart at the trigger only");
    assert_eq!(decided(&[(100, 0), (150, 1)]), [(ms(500), crowded), (ms(500), crowded)], "no part overtakes another");
    assert_eq!(decided(&[(100, 1), (105, 0)]), [(ms(400), crowded), (ms(505), crowded)], "near each other on the belt");
}
