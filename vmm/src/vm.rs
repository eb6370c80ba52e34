//! A virtual machine, from its parts to its end.
//!
//! [`Vm::new`] makes memory, loads the guest and prepares the vCPUs. Whoever owns the devices then
//! builds them on [`Vm::memory`], [`Vm::layout`] and [`Vm::msi`], and hands the buses to
//! [`Vm::run`], which returns when the guest has ended or a [`Stopper`] wanted it.

mod direct;
mod load;
mod routes;
pub(crate) mod slots;
mod window;

use crate::boot;
pub use crate::boot::builtin::Builtin;
use crate::boot::linux::Linux;
use crate::doorbells::KvmDoorbells;
use crate::footprint;
use crate::interrupts::MsiSender;
use crate::kvm;
use crate::layout::{self, Layout};
use crate::memory::{self, Memory, Pages, VmType};
use crate::platform::Platform;
use crate::platform::conversions::{ConversionLog, Hypercalls};
use crate::platform::cpuid::{self, GuestCpuid};
use crate::platform::emulated::GhcbProtocol;
use crate::platform::emulated::launch::{self, launch};
use crate::platform::emulated::secure_processor::SecureProcessor;
use crate::platform::snp::certificates::Certificates;
use crate::platform::snp::{self, firmware};
use crate::vcpu::confidential::Confidential;
use crate::vcpu::{self, Buses, Encryption, Exit, Model, Vcpu};
use kvm_ioctls::{Cap, Kvm, VmFd};
use load::{Loaded, Place};
use ravelin_devices::shared_window::SharedWindow;
use ravelin_devices::vfio::device as vfio;
use ravelin_launch::Image;
use ravelin_launch::vcpu::Signature;
use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

/// Most vCPUs: their xAPIC ids are 8 bits, and 255 addresses all of them.
pub const MAX_CPUS: u8 = 254;
/// How long a stopped vCPU may take before it is kicked again: a signal that comes between its
/// look at the stop flag and its entry into the guest is lost.
const KICK_INTERVAL: Duration = Duration::from_millis(2);

/// What a VM is made of.
pub struct VmConfig {
    /// The platform.
    pub platform: Platform,
    /// Bytes of guest memory.
    pub memory: u64,
    /// In what pages that memory is asked for.
    pub pages: Pages,
    /// Number of vCPUs, from 1; the built-in guest uses the first.
    pub cpus: u8,
    /// What runs in it.
    pub guest: Guest,
    /// What an SNP guest may ask for with a report; none of them is fine.
    pub certificates: Arc<Certificates>,
}

/// What a VM runs.
pub enum Guest {
    /// The built-in guest.
    Builtin(Builtin),
    /// Linux.
    Linux(Box<Linux>),
    /// Whatever is in an image.
    Image(Box<Image>),
}

/// Why there is no VM.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// KVM cannot be used.
    #[error("KVM cannot be used")]
    Kvm(#[from] kvm::Error),
    /// No or too many vCPUs.
    #[error("{0} vCPUs: give 1 to {MAX_CPUS}")]
    Cpus(u8),
    /// No address space for this memory.
    #[error("no address space for the guest")]
    Layout(#[from] layout::Error),
    /// No memory.
    #[error("no memory for the guest")]
    Memory(#[from] memory::Error),
    /// No CPUID.
    #[error("no processor for the guest")]
    Cpuid(#[from] cpuid::Error),
    /// There is no vCPU.
    #[error("no vCPU for the guest")]
    Vcpu(#[from] vcpu::Error),
    /// The guest could not be loaded.
    #[error("the guest cannot be loaded")]
    Boot(#[from] boot::Error),
    /// The guest could not be launched.
    #[error("the guest cannot be launched")]
    Launch(#[from] launch::Error),
    /// The AMD-SP's device cannot be opened.
    #[error("cannot open /dev/sev: see `ravelin doctor snp`")]
    SecureProcessor(#[source] io::Error),
    /// The SNP launch failed.
    #[error("the SNP launch failed")]
    SnpLaunch(#[from] snp::image::Error),
    /// KVM refused a step.
    #[error("KVM refused to {0}")]
    Step(&'static str, #[source] kvm_ioctls::Error),
    /// A thread could not be started.
    #[error("cannot start a vCPU's thread")]
    Thread(#[source] io::Error),
    /// The signal that wakes vCPUs has no handler.
    #[error("cannot handle the signal that wakes vCPUs")]
    Signal(#[source] kvm_ioctls::Error),
}

/// What the main thread waits for.
enum Event {
    Ended(Exit),
    Stop,
}

/// A VM that has not started.
pub struct Vm {
    layout: Layout,
    memory: Arc<Memory>,
    measurement: Option<[u8; 48]>,
    fd: Arc<VmFd>,
    vcpus: Vec<Vcpu>,
    sender: Sender<Event>,
    events: Receiver<Event>,
    first_instruction: Arc<OnceLock<Instant>>,
    conversions: Arc<ConversionLog>,
}

impl Vm {
    /// Makes a VM with the guest in its memory.
    ///
    /// # Errors
    /// Something is missing or does not fit. Nothing is left behind.
    pub fn new(config: VmConfig) -> Result<Vm, Error> {
        if !(1..=MAX_CPUS).contains(&config.cpus) {
            return Err(Error::Cpus(config.cpus));
        }
        let (platform, cpus) = (config.platform, config.cpus);
        // What an image has in it is not known: it gets what Linux needs.
        let linux = !matches!(config.guest, Guest::Builtin(_));
        let kvm = kvm::open(platform, linux)?;
        let cpuid = Arc::new(GuestCpuid::new(&kvm, platform)?);
        let layout = Layout::new(config.memory, cpuid.address_limit)?;
        let fd = Arc::new(create(&kvm, platform)?);
        // Before anything else of the VM's: KVM makes it confidential while it is empty.
        let device = (platform == Platform::Snp).then(firmware::open).transpose();
        let device = device.map_err(Error::SecureProcessor)?;
        let begun = device.as_ref().map(|device| snp::launch::Launch::new(&*fd, device.as_fd()));
        let begun = begun.transpose().map_err(snp::image::Error::from)?;
        let memory = Arc::new(match platform {
            Platform::Snp => Memory::of_kernel(fd.clone(), &layout.memory, VmType::Snp)?,
            _ => Memory::new(&layout.memory, platform.splits_memory(), config.pages)?,
        });
        let conversions = Arc::<ConversionLog>::default();
        let hypercalls = match cpuid.c_bit.filter(|_| linux || platform == Platform::Snp) {
            Some(_) if platform == Platform::Snp => {
                Some(Arc::new(Hypercalls::of_kernel(memory.clone(), conversions.clone())))
            }
            Some(c_bit) => {
                platform
                    .prepare_for_linux(&fd)
                    .map_err(|error| Error::Step("hand hypercalls over", error))?;
                let alias = slots::insert_for_linux(&fd, &memory, c_bit)?;
                Some(Arc::new(Hypercalls::new(memory.clone(), alias, conversions.clone())))
            }
            None => {
                slots::insert(&fd, &memory, cpuid.c_bit)?;
                None
            }
        };

        // Empty until a guest has been launched through it; Linux is not yet.
        let secure_processor = Arc::<OnceLock<SecureProcessor>>::default();
        let model = Model { cpuid: &cpuid, cpus, memory_types: linux };
        let mut vcpus = Vec::with_capacity(cpus.into());
        for id in 0..cpus {
            let encryption = match (platform, &hypercalls) {
                (Platform::None, _) => None,
                (Platform::Snp, Some(hypercalls)) => Some(Encryption::Kernel(Confidential::new(
                    memory.clone(),
                    hypercalls.clone(),
                    config.certificates.clone(),
                ))),
                _ => Some(Encryption::Emulated {
                    ghcb: GhcbProtocol::new(
                        memory.clone(),
                        cpuid.clone(),
                        secure_processor.clone(),
                    ),
                    hypercalls: hypercalls.clone(),
                }),
            };
            vcpus.push(Vcpu::new(&fd, id, &model, encryption)?);
        }
        let vcpu = vcpus.first().ok_or(Error::Cpus(0))?;
        let tsc_khz = match &config.guest {
            // Linux asks its clock itself.
            Guest::Linux(_) => 0,
            Guest::Builtin(_) | Guest::Image(_) => {
                vcpu.tsc_khz().map_err(|error| Error::Step("tell the TSC rate", error))?
            }
        };
        let place = Place {
            platform,
            layout: &layout,
            memory: memory.private(),
            c_bit: cpuid.c_bit,
            cpus,
            processor: match platform {
                Platform::Snp => Signature(cpuid.leaf(1)[0]),
                _ => Signature(ravelin_sp_model::chip::FMS),
            },
            tsc_khz,
        };
        let Loaded { first, image, host_data } = place.load(config.guest)?;
        // KVM measures the registers on SNP, and they cannot be set afterwards.
        vcpu.begin(&first).map_err(|error| Error::Step("set the first registers", error))?;
        let mut measurement = None;
        match (begun, image) {
            (Some(begun), Some(image)) => {
                let table = cpuid.for_vcpu(0, cpus)?;
                snp::image::launch(begun, &image, &memory, table.as_slice(), host_data)?;
                // As predicted: KVM does not tell what it has become.
                measurement = Some(image.digest());
            }
            (_, Some(image)) => {
                let launched = launch(&image, memory.private(), host_data)?;
                measurement = Some(launched.measurement());
                secure_processor.get_or_init(|| SecureProcessor::new(launched));
            }
            (_, None) => {}
        }

        let (sender, events) = mpsc::channel();
        let first_instruction = Arc::default();
        Ok(Vm {
            layout,
            memory,
            measurement,
            fd,
            vcpus,
            sender,
            events,
            first_instruction,
            conversions,
        })
    }

    /// Where memory, configuration space and BARs are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Guest memory: for devices, its shared side and its page states.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// The guest's launch digest; `None` on a platform that measures nothing.
    pub fn measurement(&self) -> Option<[u8; 48]> {
        self.measurement
    }

    /// The way of interrupts into the guest.
    pub fn msi(&self) -> MsiSender {
        MsiSender::new(self.fd.clone())
    }

    /// What a Linux guest has asked of its pages.
    pub fn conversions(&self) -> &Arc<ConversionLog> {
        &self.conversions
    }

    /// Has a write to `event` raise the edge of an interrupt line.
    ///
    /// # Errors
    /// KVM refuses.
    pub fn connect(&self, event: &EventFd, line: u32) -> Result<(), Error> {
        self.fd
            .register_irqfd(event, line)
            .map_err(|error| Error::Step("connect an interrupt line", error))
    }

    /// Has KVM ring doorbells by itself.
    pub fn doorbells(&self) -> Arc<KvmDoorbells> {
        Arc::new(KvmDoorbells::new(self.fd.clone()))
    }

    /// A shared window for the GPU of this number, for a guest whose driver has no other memory to
    /// share with it. It may be anywhere among the BARs.
    ///
    /// # Errors
    /// The kernel has no such memory to give.
    pub fn shared_window(&self, number: u32) -> Result<SharedWindow, Error> {
        Ok(window::new(self.fd.clone(), number, self.layout.bars.clone())?)
    }

    /// What the VM has for its physical devices: memory slots, interrupt routes, shared memory. One for
    /// all of them.
    pub fn for_devices(&self) -> vfio::Vm {
        vfio::Vm {
            slots: Arc::new(direct::DirectSlots::new(self.fd.clone(), self.layout.bars.clone())),
            routes: Arc::new(routes::RoutingTable::new(self.fd.clone())),
            pages: self.memory.pages().clone(),
            memory: self.memory.shared().clone(),
        }
    }

    /// A handle that ends the guest from any thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.sender.clone())
    }

    /// When the guest was let go to its first instruction; empty until then.
    pub fn first_instruction(&self) -> Arc<OnceLock<Instant>> {
        self.first_instruction.clone()
    }

    /// The first vCPU, to be run by a test.
    #[cfg(test)]
    pub(crate) fn take_vcpu(&mut self) -> Vcpu {
        self.vcpus.remove(0)
    }

    /// Runs the guest until it ends.
    ///
    /// # Errors
    /// A thread cannot be started. A guest that fails is no error but an [`Exit`].
    pub fn run(self, buses: Buses) -> Result<Exit, Error> {
        // Nothing but a stop can be there before the first vCPU; not one instruction after it.
        if self.events.try_recv().is_ok() {
            return Ok(Exit::Stopped);
        }
        register_signal_handler(SIGRTMIN(), on_kick).map_err(Error::Signal)?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::with_capacity(self.vcpus.len());
        for (id, mut vcpu) in self.vcpus.into_iter().enumerate() {
            let (buses, stopped, sender) = (buses.clone(), stop.clone(), self.sender.clone());
            let first_instruction = self.first_instruction.clone();
            let body = move || {
                let _ = first_instruction.set(Instant::now());
                // A panic is a bug, in a device most likely; it ends the guest, not its operator.
                let run = AssertUnwindSafe(|| vcpu.run(&buses, &stopped));
                let exit = catch_unwind(run).unwrap_or(Exit::Panicked);
                // Nobody listens any more once the first exit has been taken.
                let _ = sender.send(Event::Ended(exit));
            };
            match thread::Builder::new().name(format!("vcpu{id}")).spawn(body) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    end(threads, &stop);
                    return Err(Error::Thread(error));
                }
            }
        }
        footprint::let_go_of_start_up();
        let exit = match self.events.recv() {
            Ok(Event::Ended(exit)) => exit,
            // A sender lives in `self`, so there is always an event.
            Ok(Event::Stop) | Err(_) => Exit::Stopped,
        };
        end(threads, &stop);
        Ok(exit)
    }
}

/// Ends a VM's run. Before the run it makes the run end at once.
#[derive(Clone)]
pub struct Stopper(Sender<Event>);

impl Stopper {
    /// Ends the guest where it stands.
    pub fn stop(&self) {
        // The VM may be gone already, which is what was wanted.
        let _ = self.0.send(Event::Stop);
    }
}

/// A VM of KVM's with interrupt controllers, without memory and vCPUs.
fn create(kvm: &Kvm, platform: Platform) -> Result<VmFd, Error> {
    let fd = platform.create(kvm).map_err(|error| Error::Step("make a VM", error))?;
    if kvm.check_extension(Cap::SetIdentityMapAddr) {
        fd.set_identity_map_address(layout::KVM_IDENTITY_MAP)
            .map_err(|error| Error::Step("place its identity map", error))?;
    }
    if kvm.check_extension(Cap::SetTssAddr) {
        fd.set_tss_address(layout::KVM_TSS as usize)
            .map_err(|error| Error::Step("place its task state", error))?;
    }
    fd.create_irq_chip().map_err(|error| Error::Step("make interrupt controllers", error))?;
    platform.prepare(&fd).map_err(|error| Error::Step("filter the SEV MSRs", error))?;
    Ok(fd)
}

/// Stops every vCPU and waits for its thread.
fn end(threads: Vec<JoinHandle<()>>, stop: &AtomicBool) {
    stop.store(true, Ordering::Release);
    for thread in threads {
        while !thread.is_finished() {
            // A thread that has just ended needs no kick, so an error is no news.
            let _ = thread.kill(SIGRTMIN());
            thread::sleep(KICK_INTERVAL);
        }
        // Its panics are caught inside.
        let _ = thread.join();
    }
}

/// Does nothing: that the signal arrives is enough for KVM_RUN to return.
extern "C" fn on_kick(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}
