//! The thread that a device works on, woken by doorbells and by what the device listens to.
//!
//! The thread lives as long as its [`Worker`], so that nothing has to be started while the guest
//! runs. Between a reset and the next driver it only waits for that driver. A device that is led astray, or
//! that panics, lets go of its queues and says that it needs a reset; nothing else falls.
//! [`Engine`] is the part without a thread, and [`Hands`] what the transport knows of either.

use super::interrupts::Interrupts;
use super::queue::{Broken, VirtQueue};
use super::{Device, Event};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::{self, JoinHandle};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Events that one wait can bring.
const EVENTS: usize = 16;
/// Tokens of what can wake the thread: the worker's commands, then queues, then sources.
const COMMANDS: u64 = 0;
const QUEUES: u64 = 1;
const SOURCES: u64 = 1 << 16;

/// Whether a device has given up until its next reset, for the transport to see.
#[derive(Clone)]
pub struct Health {
    needs_reset: Arc<AtomicBool>,
    interrupts: Arc<Interrupts>,
}

impl Health {
    /// A device in good health.
    pub fn new(interrupts: Arc<Interrupts>) -> Self {
        Self { needs_reset: Arc::default(), interrupts }
    }

    /// Whether the device needs a reset.
    pub fn needs_reset(&self) -> bool {
        self.needs_reset.load(Ordering::SeqCst)
    }

    /// The device can do nothing more for this driver.
    pub fn fail(&self) {
        self.needs_reset.store(true, Ordering::SeqCst);
        self.interrupts.config_changed();
    }

    /// A reset has made up for everything.
    pub fn restore(&self) {
        self.needs_reset.store(false, Ordering::SeqCst);
    }
}

/// A device and its queues, while a driver uses it.
pub struct Engine {
    device: Box<dyn Device>,
    name: String,
    health: Health,
    state: State,
}

enum State {
    /// No driver, or one that broke the rules.
    Idle,
    Running(Vec<VirtQueue>),
    /// It has panicked, and nobody knows what state it is in.
    Lost,
}

impl Engine {
    /// A device without a driver. The name is for the log.
    pub fn new(device: Box<dyn Device>, name: String, health: Health) -> Self {
        Self { device, name, health, state: State::Idle }
    }

    /// A driver is ready with these queues, one for each of [`Device::queues`], and features.
    pub fn start(&mut self, features: u64, queues: Vec<VirtQueue>) {
        match self.state {
            State::Lost => self.health.fail(),
            State::Idle | State::Running(_) => {
                self.device.start(features);
                self.state = State::Running(queues);
                self.handle(Event::Started);
            }
        }
    }

    /// The driver has gone.
    pub fn stop(&mut self) {
        if let State::Running(_) = self.state {
            self.state = State::Idle;
        }
    }

    /// Lets the device work.
    pub fn handle(&mut self, event: Event) {
        let State::Running(queues) = &mut self.state else { return };
        queues.iter_mut().for_each(VirtQueue::begin_turn);
        let device = &mut self.device;
        let work = AssertUnwindSafe(|| device.handle(event, queues));
        match catch_unwind(work) {
            Ok(Ok(())) => {}
            Ok(Err(broken)) => self.fail(&broken),
            // The panic has been written to the log by its own hook.
            Err(_) => {
                self.state = State::Lost;
                self.health.fail();
            }
        }
    }

    fn fail(&mut self, broken: &Broken) {
        let (device, cause) = (&self.name, std::error::Error::source(broken));
        let cause = cause.map(ToString::to_string).unwrap_or_default();
        tracing::warn!(device, %broken, cause, "device needs a reset");
        self.state = State::Idle;
        self.health.fail();
    }
}

/// Whoever has a device in hand while the transport speaks for its driver.
pub trait Hands: Send + Sync {
    /// Hands the device to a driver.
    fn start(&self, features: u64, queues: Vec<VirtQueue>);
    /// Takes the device from its driver, and returns once nothing is in flight.
    fn stop(&self);
}

/// A driver's wish.
enum Command {
    Start(u64, Vec<VirtQueue>),
    /// Stop, and say when nothing is in flight any more.
    Stop(SyncSender<()>),
}

/// A device on a thread of its own.
pub struct Worker {
    commands: Option<Sender<Command>>,
    wake: EventFd,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread. `doorbells` are those that the queues will have.
    ///
    /// # Errors
    /// The kernel has no thread or no descriptor to give.
    pub fn spawn(engine: Engine, doorbells: Vec<Arc<EventFd>>) -> io::Result<Self> {
        let wake = EventFd::new(EFD_NONBLOCK)?;
        let (sender, commands) = mpsc::channel();
        let watch = Epoll::new()?;
        let add = |fd: RawFd, events: EventSet, token| {
            // Edge by edge: a device that cannot take more of a source now is not called for it again
            // and again, but looks once it can.
            let event = EpollEvent::new(events | EventSet::EDGE_TRIGGERED, token);
            watch.ctl(ControlOperation::Add, fd, event)
        };
        add(wake.as_raw_fd(), EventSet::IN, COMMANDS)?;
        for (token, doorbell) in (QUEUES..).zip(&doorbells) {
            add(doorbell.as_raw_fd(), EventSet::IN, token)?;
        }
        for (token, source) in (SOURCES..).zip(engine.device.sources()) {
            add(source, EventSet::IN | EventSet::OUT, token)?;
        }
        let body = Loop { engine, commands, wake: wake.try_clone()?, doorbells, watch };
        let name = body.engine.name.clone();
        let thread = thread::Builder::new().name(name).spawn(move || body.run())?;
        Ok(Self { commands: Some(sender), wake, thread: Some(thread) })
    }

    fn command(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // The thread lives as long as the sender; its counter never comes near its limit.
            let _ = commands.send(command);
            let _ = self.wake.write(1);
        }
    }
}

impl Hands for Worker {
    fn start(&self, features: u64, queues: Vec<VirtQueue>) {
        self.command(Command::Start(features, queues));
    }

    fn stop(&self) {
        let (done, stopped) = mpsc::sync_channel(1);
        self.command(Command::Stop(done));
        // An error is a thread that has ended, which holds no queue.
        let _ = stopped.recv();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Without its sender the channel ends, and with it the thread.
        self.commands = None;
        let _ = self.wake.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Loop {
    engine: Engine,
    commands: Receiver<Command>,
    wake: EventFd,
    doorbells: Vec<Arc<EventFd>>,
    watch: Epoll,
}

impl Loop {
    fn run(mut self) {
        let mut events = [EpollEvent::default(); EVENTS];
        loop {
            let count = match self.watch.wait(-1, &mut events) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(%error, device = self.engine.name, "device cannot wait");
                    return self.engine.health.fail();
                }
            };
            for event in &events[..count] {
                match event.data() {
                    COMMANDS => {
                        let _ = self.wake.read();
                        if !self.obey() {
                            return;
                        }
                    }
                    token @ QUEUES..SOURCES => self.rung((token - QUEUES) as usize),
                    token => self.engine.handle(Event::Source((token - SOURCES) as usize)),
                }
            }
        }
    }

    /// Carries out what was wished for; false once nobody can wish any more.
    fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Start(features, queues)) => self.engine.start(features, queues),
                Ok(Command::Stop(done)) => {
                    self.engine.stop();
                    // Whoever waited may have gone.
                    let _ = done.send(());
                }
                Err(mpsc::TryRecvError::Empty) => return true,
                Err(mpsc::TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn rung(&mut self, queue: usize) {
        if let Some(doorbell) = self.doorbells.get(queue) {
            // Empty where another event has brought the device to the queue already.
            let _ = doorbell.read();
            self.engine.handle(Event::Queue(queue));
        }
    }
}

#[cfg(test)]
mod tests;
