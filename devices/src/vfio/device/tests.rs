use super::*;
use crate::bus::BusDevice;
use crate::page_state::PageState;
use crate::pci::bus::{Aperture, PciBus};
use crate::pci::config::BAR0;
use crate::vfio::fake::{BARS, Call, Fake};
use crate::vfio::hardware::{BusNeighbour, InterruptKind};

const EXPRESS: u8 = 0x10;
const POWER_MANAGEMENT: u8 = 0x01;

struct Rig {
    fake: Arc<Fake>,
    device: Arc<VfioDevice>,
    aperture: Aperture,
    pages: Arc<PageStateMap>,
}

fn rig_of(fake: Fake, blocks: &[Block]) -> Rig {
    let (fake, attached, vm) = fake.parts();
    let pages = vm.pages.clone();
    let device = VfioDevice::new(attached, blocks, vm).unwrap();
    let bus = PciBus::new(BARS);
    bus.add(device.clone()).unwrap();
    Rig { fake, device, aperture: Aperture(bus), pages }
}

fn rig(blocks: &[Block]) -> Rig {
    rig_of(Fake::new(), blocks)
}

impl Rig {
    fn config(&self, at: u16) -> u32 {
        let mut dword = [0; 4];
        self.device.read_config(at, &mut dword);
        u32::from_le_bytes(dword)
    }

    fn capability(&self, id: u8) -> Option<u16> {
        let mut at = self.config(0x34) as u8;
        while at != 0 {
            let [found, next, ..] = self.config(at.into()).to_le_bytes();
            if found == id {
                return Some(at.into());
            }
            at = next;
        }
        None
    }

    fn bar(&self, index: u8) -> u64 {
        self.device.bar_range(index).unwrap().start
    }

    fn read(&self, address: u64) -> u32 {
        let mut dword = [0; 4];
        self.aperture.read(address - BARS.start, &mut dword);
        u32::from_le_bytes(dword)
    }

    fn write(&self, address: u64, value: u32) {
        self.aperture.write(address - BARS.start, &value.to_le_bytes());
    }

    fn names(&self) -> Vec<Happening> {
        self.device.events_after(0).into_iter().map(|event| event.what).collect()
    }

    /// Has vector 0 of MSI-X sent, as a driver does.
    fn set_up_msix(&self) -> u16 {
        let table = self.bar(0) + 0x2000;
        self.write(table, 0xfee0_0000);
        self.write(table + 8, 0x41);
        self.write(table + 12, 0);
        let msix = self.capability(msix::ID).unwrap();
        self.device.write_config(msix + 2, &msix::ENABLE.to_le_bytes());
        msix
    }
}

#[test]
fn the_guest_sees_who_the_device_is_and_only_what_is_understood() {
    let rig = rig(&[]);
    assert_eq!((rig.config(0), rig.config(8)), (0x2331_10de, 0x0302_00a1));
    assert_eq!(rig.config(0x2c), 0x0411_1028);
    for id in [EXPRESS, msi::ID, msix::ID] {
        assert!(rig.capability(id).is_some(), "{id:#x}");
    }
    assert_eq!(rig.capability(POWER_MANAGEMENT), None);
    assert_eq!((rig.config(0x100), rig.config(0x3c) >> 8 & 0xff), (0, 0));
    let bars: Vec<_> = rig.device.bars().iter().map(|bar| (bar.index, bar.size)).collect();
    assert_eq!(bars, [(0, 0x8000), (2, 1 << 20)]);
}

#[test]
fn of_what_the_guest_writes_the_device_hears_memory_and_bus_master_only() {
    let rig = rig(&[]);
    rig.fake.take_calls();
    for at in (0..0x100).step_by(4).filter(|at| *at != COMMAND) {
        let mut dword = [0xff; 4];
        // Not the guest's own reset.
        if at == rig.device.place.express + express::DEVICE_CONTROL {
            dword[1] = 0x7f;
        }
        rig.device.write_config(at, &dword);
    }
    let writes = |calls: Vec<Call>| -> Vec<Call> {
        calls.into_iter().filter(|call| matches!(call, Call::Write(..) | Call::Reset)).collect()
    };
    assert_eq!(writes(rig.fake.take_calls()), []);
    rig.device.write_config(COMMAND, &[0xfb, 0xff]);
    let heard = Call::Write(CONFIG_REGION, COMMAND.into(), vec![0x02, 0]);
    assert_eq!(writes(rig.fake.take_calls()), [heard]);
}

#[test]
fn blocked_and_message_pages_are_in_no_slot_also_after_the_guest_moves_the_bar() {
    let rig = rig(&[Block { bar: 0, range: 0x5010..0x5020 }, Block { bar: 2, range: 0..0x1000 }]);
    for base in [rig.bar(0), BARS.start + 0x1234_0000, BARS.end - 0x8000] {
        rig.device.write_config(BAR0, &(base as u32).to_le_bytes());
        rig.device.write_config(BAR0 + 4, &((base >> 32) as u32).to_le_bytes());
        let slots = rig.fake.slots();
        for (page, shown) in
            [(0, true), (0x2000, false), (0x3000, false), (0x5000, false), (0x6000, true)]
        {
            let page = base + page;
            assert_eq!(slots.iter().any(|slot| slot.contains(&page)), shown, "{page:#x}");
        }
        assert_eq!(slots, {
            let mut shown = rig.device.shown();
            shown.sort_by_key(|range| range.start);
            shown
        });
    }
    // Out of where BARs may be, and with memory off, there is nothing.
    rig.device.write_config(BAR0 + 4, &[0; 4]);
    assert!(rig.fake.slots().iter().all(|slot| slot.start >= rig.bar(2)));
    rig.device.write_config(COMMAND, &[0, 0]);
    assert_eq!(rig.fake.slots(), []);
}

#[test]
fn slots_go_before_the_devices_memory_does_and_come_after_it() {
    let rig = rig(&[]);
    let heard = |command: u8| Call::Write(CONFIG_REGION, COMMAND.into(), vec![command, 0]);
    rig.fake.take_calls();
    rig.device.write_config(COMMAND, &[0, 0]);
    let calls = rig.fake.take_calls();
    let off = calls.iter().position(|call| *call == heard(0)).unwrap();
    let hidden = calls.iter().rposition(|call| matches!(call, Call::Hide(_))).unwrap();
    assert!(hidden < off, "{calls:?}");
    rig.device.write_config(COMMAND, &COMMAND_MEMORY.to_le_bytes());
    let calls = rig.fake.take_calls();
    let on = calls.iter().position(|call| *call == heard(2)).unwrap();
    let shown = calls.iter().position(|call| matches!(call, Call::Show(..))).unwrap();
    assert!(on < shown, "{calls:?}");
}

#[test]
fn a_blocked_range_reads_all_ones_drops_writes_and_is_counted() {
    let rig = rig(&[Block { bar: 0, range: 0x5010..0x5020 }]);
    let base = rig.bar(0);
    rig.fake.take_calls();
    for offset in [0x500d, 0x5010, 0x501c, 0x501f] {
        assert_eq!(rig.read(base + offset), !0, "{offset:#x}");
        rig.write(base + offset, 7);
    }
    assert_eq!(rig.fake.take_calls(), []);
    assert_eq!(rig.device.telemetry().violations, 8);
    let blocked = Happening::Blocked { bar: 0, page: 0x5000, write: true };
    assert!(rig.names().contains(&blocked));
    // Beside it the device answers.
    assert_eq!(rig.read(base + 0x500c), 0x0f0e_0d0c);
    rig.write(base + 0x5020, 7);
    assert_eq!(rig.fake.take_calls(), [Call::Write(0, 0x5020, vec![7, 0, 0, 0])]);
}

#[test]
fn a_block_that_is_none_of_the_devices_bytes_is_an_error() {
    for (block, right) in [
        (Block { bar: 0, range: 0x7fff..0x8001 }, false),
        (Block { bar: 5, range: 0..1 }, false),
        // The guest does not see the ports at all.
        (Block { bar: 4, range: 0..1 }, true),
    ] {
        let (_fake, attached, vm) = Fake::new().parts();
        let made = VfioDevice::new(attached, &[block], vm);
        assert_eq!(!matches!(made, Err(Error::Block(..))), right);
    }
}

#[test]
fn the_table_of_vectors_is_ours_and_masks_disconnect() {
    let rig = rig(&[]);
    rig.fake.take_calls();
    let msix = rig.set_up_msix();
    let message = MsiMessage { address: 0xfee0_0000, data: 0x41 };
    assert_eq!(rig.fake.messages(), [message]);
    let calls = rig.fake.take_calls();
    assert!(calls.contains(&Call::Interrupts(InterruptKind::MsiX, 8)));
    assert!(!calls.iter().any(|call| matches!(call, Call::Write(0, ..))), "the device's own table");
    let table = rig.bar(0) + 0x2000;
    assert_eq!((rig.read(table), rig.read(table + 8)), (0xfee0_0000, 0x41));
    rig.write(table + 12, 1);
    assert_eq!(rig.fake.messages(), []);
    rig.write(table + 12, 0);
    rig.device.write_config(msix + 2, &(msix::ENABLE | msix::FUNCTION_MASK).to_le_bytes());
    assert_eq!(rig.fake.messages(), []);
    rig.device.write_config(msix + 2, &msix::ENABLE.to_le_bytes());
    rig.device.write_config(COMMAND, &COMMAND_MEMORY.to_le_bytes());
    assert_eq!(rig.fake.messages(), [], "no interrupts without bus master");
}

#[test]
fn msi_sends_as_many_messages_as_the_guest_enables_and_the_device_has() {
    let rig = rig(&[]);
    let msi = rig.capability(msi::ID).unwrap();
    rig.device.write_config(msi + msi::ADDRESS, &0xfee0_0000_u32.to_le_bytes());
    rig.device.write_config(msi + msi::DATA, &[0x42, 0]);
    // It asks for 32 and gets the 4 that there are.
    rig.device.write_config(msi + 2, &[0b101_0001, 0]);
    let data: Vec<_> = rig.fake.messages().iter().map(|message| message.data).collect();
    assert_eq!(data, [0x40, 0x41, 0x42, 0x43]);
    rig.device.write_config(msi + 2, &[0, 0]);
    assert_eq!(rig.fake.messages(), []);
}

#[test]
fn shared_pages_are_mapped_and_too_low_a_limit_is_named() {
    let rig = rig(&[]);
    assert_eq!(rig.device.mappings().ranges(), []);
    rig.pages.convert(0x1000, 0x2000, PageState::Shared).unwrap();
    assert_eq!(*rig.fake.mapped.lock().unwrap(), [(0x1000, 0x2000)].into());
    rig.pages.convert(0x1000, 0x2000, PageState::Private).unwrap();
    assert!(rig.fake.mapped.lock().unwrap().is_empty());
    let (fake, attached, vm) = Fake::new().parts();
    vm.pages.convert(0, 0x1000, PageState::Shared).unwrap();
    fake.no_memory.store(true, Ordering::SeqCst);
    let refused = VfioDevice::new(attached, &[], vm).err().unwrap();
    assert!(matches!(refused, Error::Memlock { .. } | Error::Map(_)), "{refused}");
}

#[test]
fn the_operators_reset_leaves_the_guests_set_up_as_it_was() {
    let rig = rig(&[]);
    rig.set_up_msix();
    let (bar, slots, messages) = (rig.bar(0), rig.fake.slots(), rig.fake.messages());
    rig.fake.take_calls();
    rig.fake
        .neighbours
        .lock()
        .unwrap()
        .push(BusNeighbour { bdf: "0000:01:00.0".into(), ours: true });
    for (kind, call) in [(ResetKind::Flr, Call::Reset), (ResetKind::Bus, Call::ResetBus)] {
        rig.device.reset(kind).unwrap();
        let calls = rig.fake.take_calls();
        let at = |wanted: &Call| calls.iter().position(|call| call == wanted).unwrap();
        let hidden = calls.iter().rposition(|call| matches!(call, Call::Hide(_))).unwrap();
        let shown = calls.iter().position(|call| matches!(call, Call::Show(..))).unwrap();
        let off = at(&Call::Interrupts(InterruptKind::MsiX, 0));
        let on = at(&Call::Interrupts(InterruptKind::MsiX, 8));
        assert!(hidden < at(&call) && off < at(&call) && at(&call) < on && at(&call) < shown);
        assert!(calls.contains(&Call::Write(CONFIG_REGION, COMMAND.into(), vec![0x06, 0])));
        assert_eq!((rig.bar(0), rig.fake.messages()), (bar, messages.clone()));
        assert_eq!(rig.fake.slots(), slots);
    }
    assert_eq!(rig.device.telemetry().resets, 2);
}

#[test]
fn the_guests_own_reset_leaves_nothing_of_its_set_up() {
    let rig = rig(&[]);
    rig.set_up_msix();
    rig.fake.take_calls();
    let control = rig.device.place.express + express::DEVICE_CONTROL;
    rig.device.write_config(control, &[0, 0x80]);
    assert!(rig.fake.take_calls().contains(&Call::Reset));
    assert_eq!((rig.fake.slots(), rig.fake.messages()), (vec![], vec![]));
    assert_eq!((rig.config(BAR0) & !0xf, rig.config(COMMAND) & 0x7), (0, 0));
    assert!(rig.names().contains(&Happening::Reset { kind: ResetKind::Flr, guest: true }));
}

#[test]
fn a_bus_reset_that_reaches_somebody_elses_device_is_refused_and_all_are_named() {
    let rig = rig(&[]);
    *rig.fake.neighbours.lock().unwrap() = vec![
        BusNeighbour { bdf: "0000:01:00.0".into(), ours: true },
        BusNeighbour { bdf: "0000:01:00.1".into(), ours: false },
    ];
    rig.fake.take_calls();
    let refused = rig.device.reset(ResetKind::Bus).unwrap_err().to_string();
    assert!(refused.contains("0000:01:00.0, 0000:01:00.1"), "{refused}");
    assert_eq!(rig.fake.take_calls(), [], "it was touched all the same");
}

#[test]
fn a_device_without_a_reset_of_its_own_shows_none_and_says_so() {
    let rig = rig_of(Fake { resettable: false, ..Fake::new() }, &[]);
    let express = rig.capability(EXPRESS).unwrap();
    assert_eq!(rig.config(express + 4) & express::FUNCTION_LEVEL_RESET, 0);
    assert!(matches!(rig.device.reset(ResetKind::Flr), Err(ResetError::NotAlone(_))));
    rig.device.write_config(express + express::DEVICE_CONTROL, &[0, 0x80]);
    assert!(!rig.fake.take_calls().contains(&Call::Reset));
}

#[test]
fn a_device_that_vanishes_reads_all_ones_keeps_no_slot_and_may_come_back() {
    let rig = rig(&[]);
    rig.set_up_msix();
    let slots = rig.fake.slots();
    let bar = rig.bar(0);
    rig.fake.gone.store(true, Ordering::SeqCst);
    rig.device.look();
    assert!(rig.device.is_gone() && rig.names().contains(&Happening::Vanished));
    assert_eq!((rig.fake.slots(), rig.fake.messages()), (vec![], vec![]));
    for at in (0..0x100).step_by(4) {
        assert_eq!(rig.config(at), !0, "{at:#x}");
        rig.device.write_config(at, &[0xff; 4]);
    }
    assert_eq!((rig.read(bar), rig.read(bar + 0x2000)), (!0, !0));
    rig.pages.convert(0, 0x1000, PageState::Shared).unwrap();
    rig.fake
        .neighbours
        .lock()
        .unwrap()
        .push(BusNeighbour { bdf: "0000:01:00.0".into(), ours: true });
    rig.device.reset(ResetKind::Bus).unwrap();
    assert!(!rig.device.is_gone() && rig.names().contains(&Happening::Returned));
    assert_eq!(rig.fake.slots(), slots);
}

#[test]
fn a_device_that_does_not_come_back_from_its_reset_has_vanished() {
    let rig = rig(&[]);
    rig.fake.dies_of_reset.store(true, Ordering::SeqCst);
    assert!(matches!(rig.device.reset(ResetKind::Flr), Err(ResetError::NotBack(_))));
    let names = rig.names();
    assert!(names.contains(&Happening::ResetFailed { kind: ResetKind::Flr }));
    assert!(names.contains(&Happening::Vanished));
    assert_eq!(rig.fake.slots(), []);
}

#[test]
fn the_watch_notices_by_itself() {
    let rig = rig(&[]);
    let (told, hears) = std::sync::mpsc::channel();
    rig.device.observe(move |event| drop(told.send(event.what.clone())));
    rig.fake.gone.store(true, Ordering::SeqCst);
    let patience = std::time::Duration::from_secs(60);
    assert_eq!(hears.recv_timeout(patience), Ok(Happening::Vanished));
}

#[test]
fn accesses_of_every_shape_at_every_register_do_no_harm() {
    let rig = rig(&[Block { bar: 2, range: 0x10..0x20 }]);
    for at in 0..0x1000_u16 {
        for width in [1, 2, 4, 8] {
            let mut data = vec![0xff; width];
            rig.device.read_config(at, &mut data);
            rig.device.write_config(at, &data);
        }
    }
    for bar in 0..7 {
        for at in [0, 1, 0xf, 0x10, 0x1f, 0x1fff, 0x2000, 0x207f, 0x3000, 0x3007, 0x7ff8] {
            for width in [1, 2, 3, 4, 8] {
                let mut data = vec![0xff; width];
                rig.device.read_bar(bar, at, &mut data);
                rig.device.write_bar(bar, at, &data);
            }
        }
    }
    let shown: Vec<_> = rig.fake.slots();
    assert!(shown.iter().all(|slot| BARS.start <= slot.start && slot.end <= BARS.end));
}
