//! The line thread: carries out the actions of the line's state machines.
//!
//! From [`LineThread::run`] on it neither allocates nor locks nor logs nor touches a disk. It sleeps until the next due time or event, and
//! exchanges messages with the other threads through [`LineLink`].

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

/// At the end of the service, the line thread waits this long beyond the delay for parts in transit.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same for a line with an encoder, whose belt may stand still.
const BELT_PATIENCE: Duration = Duration::from_secs(5);

/// Which descriptors were readable when the line thread woke up.
#[derive(Debug)]
struct Ready {
    /// The socket of the software trigger.
    trigger_socket: bool,
    /// The socket at which products are chosen.
    product_socket: bool,
    /// Each group of inputs.
    inputs: [bool; GROUPS],
}

/// The state of the line thread.
#[derive(Debug)]
pub struct LineThread<'a> {
    link: &'a LineLink<'a>,
    control: Control,
    trigger: Trigger,
    encoder: Option<Encoder>,
    heartbeat: Heartbeat,
    stall: Duration,
    interval: Option<(Duration, Duration)>,
    /// Parts are announced to this view and those after it. A first view whose frames make the parts needs no announcement.
    first_announced_view: usize,
    views: usize,
    /// The threads that must make progress.
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
    /// Requests the GPIO lines; the outputs are then at their safe levels.
    ///
    /// # Errors
    /// Names the key of a GPIO line that is missing, in use or refused, or of a socket that cannot be bound.
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
            first_announced_view: usize::from(settings.trigger.is_a_frame()),
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

    /// Works until [`LineLink::finish`] was called and no part is in transit. The outputs are at their safe levels afterwards.
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
                // After a pause the interval starts again: triggers of the pause are not made up for.
                self.interval = Some(((next + every).max(now), every));
                self.trigger(next, None);
            }
            self.step(Event::Tick, now);
            self.beat(now);
        }
    }

    /// Sleeps until something is due or a descriptor is readable.
    fn sleep(&self, give_up: Option<Duration>) -> Ready {
        let code = self.choice.as_ref().and_then(Choice::due);
        let due = [self.control.due(), self.interval.map(|(next, _)| next), give_up, Some(self.heartbeat.due()), code];
        if let Some(due) = due.into_iter().flatten().min() {
            let none = Timespec { tv_sec: 0, tv_nsec: 0 };
            let timer = Itimerspec { it_interval: none, it_value: self.link.clock().monotonic(due) };
            // It fails only for wrong arguments.
            let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &timer);
        }
        let wake = self.link.wake().as_fd();
        let polled = |descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN);
        let [triggers, product] = [&self.socket, &self.product_socket].map(|socket| socket.as_ref().map(AsFd::as_fd));
        // An array of fixed size needs no allocation; places without a descriptor of their own poll the wake-up again.
        let mut inputs = [wake; GROUPS];
        let groups = inputs.iter_mut().zip(self.inputs.descriptors()).map(|(place, group)| *place = group).count();
        let [first, second, third, fourth] = inputs.map(polled);
        let own = [wake, self.timer.as_fd(), triggers.unwrap_or(wake), product.unwrap_or(wake)].map(polled);
        let [own_wake, timer, trigger_socket, product_socket] = own;
        let mut all = [own_wake, timer, trigger_socket, product_socket, first, second, third, fourth];
        // An interrupted sleep only ends early.
        let _ = poll(&mut all, None);
        let [_, _, trigger_socket, product_socket, inputs @ ..] = all.map(|polled| polled.revents().contains(PollFlags::IN));
        Ready {
            trigger_socket: triggers.is_some() && trigger_socket,
            product_socket: product.is_some() && product_socket,
            inputs: std::array::from_fn(|group| group < groups && inputs[group]),
        }
    }

    fn read(&mut self, group: usize) {
        // The inputs are taken out meanwhile, because `take` needs all of `self`.
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

    /// Line control follows the part from now on, and the part is announced to the views.
    fn admit(&mut self, triggered: TriggeredPart) {
        let TriggeredPart { part, at, product, doubt } = triggered;
        let place = Place { at, count: self.encoder.as_ref().map_or(0, Encoder::count) };
        let now = self.link.clock().now();
        self.step(Event::Triggered { part, place, product, doubt }, now);
        for view in self.first_announced_view..self.views {
            if !self.link.announce_part(view, triggered) {
                self.step(Event::Judged { part, view, verdict: Verdict::Unknown(Reason::QueueOverflow) }, now);
            }
        }
    }

    fn product_at(&self, at: Duration) -> (usize, Option<Reason>) {
        self.choice.as_ref().map_or((0, None), |choice| choice.at(at))
    }

    fn obey(&mut self, command: Command) {
        match command {
            // The frame of this part was taken some time ago, perhaps on the settings of another product.
            Command::Triggered(triggered) => {
                let (product, doubt) = self.product_at(triggered.at);
                let other = (triggered.product != product).then_some(Reason::ProductChange);
                self.admit(TriggeredPart { product, doubt: doubt.or(triggered.doubt).or(other), ..triggered });
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

    /// Reads the code from the levels of its GPIO lines, not from their edges: an edge may be lost.
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

    /// Receives datagrams, each of which holds the name of a product.
    fn receive_product(&mut self) {
        let mut name = [0; config::NAME_LIMIT + 1];
        while let Some(length) = self.product_socket.as_ref().and_then(|socket| socket.receive(&mut name).ok()) {
            let name = &name[..length];
            let product = self.products.iter().position(|product| product.name.as_bytes() == name);
            self.choose(ChoiceEvent::Asked(product));
        }
    }

    /// Receives datagrams of any content, each of which is a trigger.
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
            Action::Decided(decision) => link.report(Report::Decided(decision)),
            Action::Stopped(cause) => link.report(Report::Stopped(cause)),
            Action::Late(part) => link.report(Report::Late(part)),
        });
        if rose {
            control.rose(now, link.clock().now());
        }
    }

    fn beat(&mut self, now: Duration) {
        let progress = self.link.progress.stalled(&self.workers, self.stall).is_none();
        if let Some(active) = self.heartbeat.step(now, progress) {
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
