//! The thread that carries out what the state machines of the line say.
//!
//! From [`LineThread::run`] on it neither allocates nor locks nor logs nor touches a disk: it sleeps until the next due time or event,
//! and talks to the others through [`LineLink`].

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use config::Product;
use config::line::{CODE_LINES, InputRole, LineSettings, Selection, Travel, TriggerBy};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};
use verdict::{Output, Reason, Verdict};

use super::line_error::{GROUPS, LineError};
use super::link::{Command, LineLink, Report};
use super::progress::Worker;
use super::socket::Socket;
use crate::gpio::{InputEdge, Inputs, Outputs};
use crate::line::{
    Action, Change, Choice, ChoiceEvent, Control, Edge, Encoder, EncoderEdge, Event, Heartbeat, Place, Trigger, TriggeredPart,
    Turn,
};

/// What is still in transit at the end of the service is waited for at most so long beyond its delay.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same where a belt may stand still.
const BELT_PATIENCE: Duration = Duration::from_secs(5);

/// What the line thread found when it woke up.
#[derive(Debug)]
struct Ready {
    /// The software trigger's socket has datagrams.
    trigger_socket: bool,
    /// The socket that products are chosen at has datagrams.
    product_socket: bool,
    /// A group of inputs has edges.
    inputs: [bool; GROUPS],
}

/// Everything that the line thread owns.
#[derive(Debug)]
pub struct LineThread<'a> {
    link: &'a LineLink<'a>,
    control: Control,
    trigger: Trigger,
    encoder: Option<Encoder>,
    heartbeat: Heartbeat,
    stall: Duration,
    interval: Option<(Duration, Duration)>,
    /// The first view that must be told of a part: the one that makes parts of its frames knows them.
    first_told: usize,
    views: usize,
    /// Who must make progress.
    workers: Vec<Worker>,
    products: Vec<Product>,
    choice: Option<Choice>,
    drain: Duration,
    inputs: Inputs,
    outputs: Outputs,
    socket: Option<Socket>,
    product_socket: Option<Socket>,
    timer: OwnedFd,
}

impl<'a> LineThread<'a> {
    /// Takes hold of the lines; outputs are at their safe levels then.
    ///
    /// # Errors
    /// Names the key and the line that is missing, taken or refused.
    pub fn new(settings: &LineSettings, products: Vec<Product>, link: &'a LineLink<'a>) -> Result<LineThread<'a>, LineError> {
        let (inputs, outputs) = match settings.simulated {
            true => (Inputs::default(), Outputs::simulated()),
            false => (Inputs::request(settings)?, Outputs::request(&settings.outputs)?),
        };
        let groups = inputs.descriptors().count();
        if groups > GROUPS {
            return Err(LineError::Chips(groups));
        }
        let b_active = inputs.is_active(InputRole::EncoderB).unwrap_or(false);
        let debounce = match &settings.trigger.by {
            TriggerBy::Edge { debounce, .. } => *debounce,
            _ => Duration::ZERO,
        };
        let interval = match settings.trigger.by {
            TriggerBy::Interval(every) => Some((link.clock().now() + every, every)),
            _ => None,
        };
        let socket = match &settings.trigger.by {
            TriggerBy::Socket(path) => Some(Socket::listen("line.trigger.socket", path)?),
            _ => None,
        };
        let now = link.clock().now();
        let (choice, product_socket) = match &settings.selection {
            None => (None, None),
            Some(Selection::Code { strobe, settle, .. }) => (Some(Choice::by_code(*settle, strobe.is_some(), now)), None),
            Some(Selection::Socket { path, start }) => {
                (Some(Choice::by_name(*start)), Some(Socket::listen("line.recipe.socket", path)?))
            }
        };
        let drain = settings.control.timings.iter().map(|timing| match timing.delay {
            Travel::Time(delay) => delay + PATIENCE,
            Travel::Pulses(_) => BELT_PATIENCE,
        });
        let drain = drain.max().unwrap_or(PATIENCE);
        let views = settings.control.views;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK);
        Ok(LineThread {
            link,
            control: Control::new(settings.control.clone()),
            trigger: Trigger::new(debounce),
            encoder: settings.encoder.as_ref().map(|config| Encoder::new(config.max_rate, config.reverse, b_active)),
            heartbeat: Heartbeat::new(settings.heartbeat, link.clock().now()),
            stall: settings.stall,
            interval,
            first_told: usize::from(settings.trigger.is_a_frame()),
            views,
            workers: (0..views).map(Worker::Capture).chain([Worker::Detector]).collect(),
            products,
            choice,
            drain,
            inputs,
            outputs,
            socket,
            product_socket,
            timer: timer.map_err(io::Error::from)?,
        })
    }

    /// Works until [`LineLink::finish`] and until no part is in transit any more. Outputs are safe afterwards.
    pub fn run(mut self) {
        let mut give_up = None;
        loop {
            self.link.progress.beat(Worker::Line);
            if self.link.is_finishing() {
                let now = self.link.clock().now();
                let end = *give_up.get_or_insert(now + self.drain);
                if now >= end {
                    self.step(Event::Abandon, now);
                }
                if self.control.in_transit() == 0 && self.control.due().is_none() {
                    return;
                }
            }
            let ready = self.sleep(give_up);
            self.link.wake().clear();
            for (group, _) in ready.inputs.iter().enumerate().filter(|(_, has_edges)| **has_edges) {
                self.read(group);
            }
            if ready.trigger_socket {
                self.receive_triggers();
            }
            if ready.product_socket {
                self.receive_product();
            }
            if self.choice.as_ref().and_then(Choice::due).is_some_and(|due| due <= self.link.clock().now()) {
                self.read_code();
            }
            while let Some(command) = self.link.next_command() {
                self.obey(command);
            }
            let now = self.link.clock().now();
            if let Some((next, every)) = self.interval.filter(|(next, _)| *next <= now) {
                // After a pause the rhythm begins anew: parts that nobody saw cannot be made up for.
                self.interval = Some(((next + every).max(now), every));
                self.trigger(next, None);
            }
            self.step(Event::Tick, now);
            self.beat(now);
        }
    }

    /// Sleeps until something is due or happens.
    fn sleep(&self, give_up: Option<Duration>) -> Ready {
        let code = self.choice.as_ref().and_then(Choice::due);
        let due = [self.control.due(), self.interval.map(|(next, _)| next), give_up, Some(self.heartbeat.due()), code];
        if let Some(due) = due.into_iter().flatten().min() {
            let none = Timespec { tv_sec: 0, tv_nsec: 0 };
            let timer = Itimerspec { it_interval: none, it_value: self.link.clock().monotonic(due) };
            // It can only fail for arguments that are wrong.
            let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &timer);
        }
        let wake = self.link.wake().as_fd();
        let polled = |descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN);
        let [triggers, product] = [&self.socket, &self.product_socket].map(|socket| socket.as_ref().map(AsFd::as_fd));
        // An array needs no memory; places without a descriptor of their own watch the wake-up.
        let mut inputs = [wake; GROUPS];
        let groups = inputs.iter_mut().zip(self.inputs.descriptors()).map(|(place, group)| *place = group).count();
        let [first, second, third, fourth] = inputs.map(polled);
        let own = [wake, self.timer.as_fd(), triggers.unwrap_or(wake), product.unwrap_or(wake)].map(polled);
        let [own_wake, timer, trigger_socket, product_socket] = own;
        let mut all = [own_wake, timer, trigger_socket, product_socket, first, second, third, fourth];
        // An interrupted sleep is a short one.
        let _ = poll(&mut all, None);
        let [_, _, trigger_socket, product_socket, inputs @ ..] = all.map(|polled| polled.revents().contains(PollFlags::IN));
        Ready {
            trigger_socket: triggers.is_some() && trigger_socket,
            product_socket: product.is_some() && product_socket,
            inputs: std::array::from_fn(|group| group < groups && inputs[group]),
        }
    }

    fn read(&mut self, group: usize) {
        // Taken out for a moment, so that the edges can be handed to the rest of us.
        let mut inputs = std::mem::take(&mut self.inputs);
        let read = inputs.read(group, &mut |edge| self.take(edge));
        self.inputs = inputs;
        if read.is_err() {
            self.link.report(Report::InputFailed);
        }
    }

    fn take(&mut self, edge: InputEdge) {
        let InputEdge { role, rising, at_ns, number } = edge;
        let at = self.link.clock().at_monotonic(at_ns);
        match role {
            InputRole::Trigger => {
                self.trigger(at, Some(number));
                self.link.count(self.trigger.counts());
            }
            InputRole::EncoderA | InputRole::EncoderB => {
                let Some(encoder) = &mut self.encoder else { return };
                let edge = EncoderEdge { is_b: role == InputRole::EncoderB, rising, at, number };
                let event = match encoder.step(edge) {
                    Turn::Still => return,
                    Turn::Count(count) => Event::Count { count, at },
                    Turn::Lost => Event::EncoderLost,
                };
                self.step(event, self.link.clock().now());
            }
            InputRole::Reset => self.step(Event::Reset, self.link.clock().now()),
            InputRole::Code(_) => self.choose(ChoiceEvent::Edge { at }),
            InputRole::CodeStrobe => self.choose(ChoiceEvent::Strobe { at }),
        }
    }

    fn trigger(&mut self, at: Duration, number: Option<u32>) {
        let Some(part) = self.trigger.step(Edge { at, number }) else { return };
        let (product, doubt) = self.product_at(at);
        self.admit(TriggeredPart { part, at, product, doubt });
    }

    /// The line follows a part, and every camera that does not know it looks for its frame.
    fn admit(&mut self, seen: TriggeredPart) {
        let TriggeredPart { part, at, product, doubt } = seen;
        let place = Place { at, count: self.encoder.as_ref().map_or(0, Encoder::count) };
        let now = self.link.clock().now();
        self.step(Event::Triggered { part, place, product, doubt }, now);
        for view in self.first_told..self.views {
            if !self.link.tell_part(view, seen) {
                self.step(Event::Judged { part, view, verdict: Verdict::Unknown(Reason::QueueOverflow) }, now);
            }
        }
    }

    fn product_at(&self, at: Duration) -> (usize, Option<Reason>) {
        self.choice.as_ref().map_or((0, None), |choice| choice.at(at))
    }

    fn obey(&mut self, command: Command) {
        match command {
            // A frame that is a part was taken some time ago, on the settings of a product that may not have been its own.
            Command::Triggered(seen) => {
                let (product, doubt) = self.product_at(seen.at);
                let other = (seen.product != product).then_some(Reason::ProductChange);
                self.admit(TriggeredPart { product, doubt: doubt.or(seen.doubt).or(other), ..seen });
            }
            Command::Judged { part, view, verdict } => self.step(Event::Judged { part, view, verdict }, self.link.clock().now()),
        }
    }

    fn choose(&mut self, event: ChoiceEvent) {
        let now = self.link.clock().now();
        match self.choice.as_mut().and_then(|choice| choice.step(event, now)) {
            Some(Change::Doubt { since }) => self.step(Event::Doubt { since }, now),
            Some(Change::Chosen(product)) => {
                self.link.choose(product);
                self.link.report(Report::Product(product));
            }
            Some(Change::NoSuchProduct) => self.step(Event::NoSuchProduct, now),
            None => {}
        }
    }

    /// The levels themselves, not the edges that led to them: an edge may be lost.
    fn read_code(&mut self) {
        let mut code = Some(0);
        for bit in 0..CODE_LINES as u8 {
            match self.inputs.is_active(InputRole::Code(bit)) {
                Ok(active) => code = code.map(|code| code | u32::from(active) << bit),
                Err(_) => code = None,
            }
        }
        if code.is_none() {
            self.link.report(Report::InputFailed);
        }
        let product = code.and_then(|code| self.products.iter().position(|product| product.code == Some(code)));
        self.choose(ChoiceEvent::Read(product));
    }

    /// Datagrams with a product's name.
    fn receive_product(&mut self) {
        let mut name = [0; config::NAME_LIMIT + 1];
        while let Some(length) = self.product_socket.as_ref().and_then(|socket| socket.receive(&mut name).ok()) {
            let name = &name[..length];
            let product = self.products.iter().position(|product| product.name.as_bytes() == name);
            self.choose(ChoiceEvent::Asked(product));
        }
    }

    /// Datagrams of any content.
    fn receive_triggers(&mut self) {
        let mut byte = [0; 1];
        while let Some(socket) = &self.socket {
            if socket.receive(&mut byte).is_err() {
                break;
            }
            self.trigger(self.link.clock().now(), None);
        }
    }

    fn step(&mut self, event: Event, now: Duration) {
        let LineThread { control, outputs, link, .. } = self;
        let mut rose = false;
        control.step(event, now, &mut |action| match action {
            Action::Set(output, active) => {
                set(outputs, link, output, active);
                rose |= active;
            }
            Action::Decided(decided) => link.report(Report::Decided(decided)),
            Action::Stopped(cause) => link.report(Report::Stopped(cause)),
            Action::Late(part) => link.report(Report::Late(part)),
        });
        if rose {
            control.rose(now, link.clock().now());
        }
    }

    fn beat(&mut self, now: Duration) {
        let moves = self.link.progress.stalled(&self.workers, self.stall).is_none();
        if let Some(active) = self.heartbeat.step(now, moves) {
            set(&self.outputs, self.link, Output::Healthy, active);
        }
    }
}

fn set(outputs: &Outputs, link: &LineLink<'_>, output: Output, active: bool) {
    if outputs.set(output, active).is_err() {
        link.report(Report::OutputFailed(output));
    }
    link.report(Report::Output { output, active, at: link.clock().now() });
}
