//! Interrupts that the emulator delivers twice.
//!
//! QEMU's `helper_vmrun` leaves the vector of an injected interrupt behind as the exception that its
//! loop is to deliver. If another thread stops that loop before anything has replaced the vector, and
//! without an interrupt of the machine's own, it is delivered again, wherever the guest is by then and
//! even where it has interrupts off. A guest that has just come in by SYSCALL, still on the stack of user
//! space, dies of a double fault. The busier the host, the likelier.
//!
//! It shows: the second delivery leaves EXITINTINFO (AMD APM volume 2, 15.7.2) as of an *exception*
//! with a vector above 31, which no processor and no KVM makes. KVM's trace of exits has the field.

use std::fs;
use std::io;
use std::path::PathBuf;

use rustix::mount::{MountFlags, mount};

/// Where the kernel's tracing is mounted.
const TRACING: &str = "/sys/kernel/tracing";

/// EXITINTINFO of type 3 (exception) and a vector above 31, valid or not.
const FILTER: &str = "(intr_info >= 0x320 && intr_info <= 0x3ff) || \
                      (intr_info >= 0x80000320 && intr_info <= 0x800003ff)";

/// A look at each exit of a guest's.
#[derive(Debug)]
pub(super) struct Watch {
    /// A trace of its own, beside those that a job may make.
    trace: PathBuf,
}

impl Watch {
    /// Begins to look. KVM's module must be there, and tracing in the kernel.
    pub(super) fn start() -> io::Result<Watch> {
        mount(c"tracefs", TRACING, c"tracefs", MountFlags::empty(), None)?;
        let instance = PathBuf::from(TRACING).join("instances/rig");
        fs::create_dir(&instance)?;
        let exits = instance.join("events/kvm/kvm_exit");
        fs::write(exits.join("filter"), FILTER)?;
        fs::write(exits.join("enable"), "1")?;
        Ok(Watch { trace: instance.join("trace") })
    }

    /// Forgets what was seen until now.
    pub(super) fn forget(&self) {
        // Opening it for writing empties it.
        let _ = fs::write(&self.trace, "");
    }

    /// The first exit that shows a second delivery.
    pub(super) fn evidence(&self) -> Option<String> {
        first(&fs::read_to_string(&self.trace).ok()?)
    }
}

/// The first event of a trace.
fn first(trace: &str) -> Option<String> {
    let line = trace.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    line.map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "# tracer: nop\n#\n# entries-in-buffer/entries-written: 0/0   #P:2\n#\n";

    #[test]
    fn a_trace_without_an_event_is_no_evidence() {
        assert_eq!(first(HEADER), None);
        assert_eq!(first(""), None);
    }

    #[test]
    fn the_first_event_is_the_evidence() {
        let event = "vcpu1-110 [001] ..... 30.180334: kvm_exit: vcpu 1 reason interrupt rip \
                     0xffffffff94c00cd0 info1 0x0 info2 0x0 intr_info 0x000003fb error_code 0x0";
        let trace = format!("{HEADER}    {event}\n    another\n");
        assert_eq!(first(&trace).as_deref(), Some(event));
    }
}
