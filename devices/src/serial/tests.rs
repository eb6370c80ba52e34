use super::*;
use proptest::prelude::*;
use std::sync::Arc;

/// A writer that several can look at.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<u8>>>);

impl Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer that is gone.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lines(longest: usize, bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut lines = Vec::new();
    let mut sink = LineSink::new(longest, |line| {
        lines.push(match line {
            Line::Whole(bytes) => Some(bytes.to_vec()),
            Line::TooLong => None,
        });
    });
    sink.write_all(bytes).unwrap();
    lines
}

#[test]
fn what_the_guest_sends_comes_out() {
    let seen = Seen::default();
    let port = SerialPort::new(seen.clone());
    let mut status = [0];
    port.read(5, &mut status);
    assert_eq!(status[0] & 0x20, 0x20, "the transmitter never becomes empty");
    for byte in b"hello" {
        port.write(0, &[*byte]);
    }
    assert_eq!(*seen.0.lock().unwrap(), b"hello");
}

#[test]
fn an_output_that_fails_does_not_stop_the_guest() {
    let port = SerialPort::new(Closed);
    port.write(0, b"x");
    let mut status = [0];
    port.read(5, &mut status);
    assert_eq!(status[0] & 0x20, 0x20);
}

#[test]
fn the_guest_reads_what_it_is_sent() {
    let port = SerialPort::new(Seen::default());
    assert_eq!(port.receive(b"ab"), 2);
    let mut byte = [0];
    port.read(0, &mut byte);
    assert_eq!(&byte, b"a");
    assert!(port.receive(&[0; 1000]) < 1000, "the receiver has no bound");
}

#[test]
fn a_line_that_is_too_long_is_dropped_and_the_next_one_is_whole() {
    let whole = |line: &str| Some(line.as_bytes().to_vec());
    assert_eq!(
        lines(3, b"abc\nabcd\n\nx\nunfinished"),
        [whole("abc"), None, whole(""), whole("x")]
    );
}

proptest! {
    #[test]
    fn no_register_access_panics(
        accesses in prop::collection::vec((any::<u64>(), prop::collection::vec(any::<u8>(), 0..9)), 0..64),
    ) {
        let port = SerialPort::new(Seen::default());
        for (offset, mut data) in accesses {
            for offset in [offset, offset % PORTS] {
                port.write(offset, &data);
                port.read(offset, &mut data);
            }
        }
    }

    #[test]
    fn a_sink_never_holds_more_than_its_bound(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut sink = LineSink::new(16, |_| ());
        sink.write_all(&bytes).unwrap();
        prop_assert!(sink.line.len() <= 16);
        prop_assert_eq!(lines(400, &bytes).len(), bytes.iter().filter(|byte| **byte == b'\n').count());
    }
}
