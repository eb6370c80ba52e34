//! `ravelinctl events`: what happened to a VM's GPUs, once or as it goes on.
//!
//! A GPU numbers its events without gaps and counts what happens again and again in one of them. So
//! whoever follows asks for the last event that it has once more, to see whether it has grown.

use super::super::foreign::printable;
use super::{Document, Output, find};
use crate::cli::{Error, output};
use crate::control::api::{GpuEvent, GpuEvents, VmInfo};
use crate::control::client::{self, Client};
use crate::runtime::RuntimeRoot;
use serde::Serialize;
use std::thread;
use std::time::Duration;

/// Between two looks at the VM.
const LOOK: Duration = Duration::from_millis(300);
/// Longest text of an event's field.
const LONGEST: usize = 100;

/// An event of one of several GPUs.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Placed {
    gpu: usize,
    #[serde(flatten)]
    event: GpuEvent,
}

/// Runs the command.
pub(super) fn show(
    root: &RuntimeRoot,
    name: &str,
    gpu: Option<usize>,
    follow: bool,
    output: Output,
) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Content<'a> {
        name: &'a str,
        events: Vec<Placed>,
    }
    let client = find(root, name)?;
    let gpus = match gpu {
        Some(gpu) => gpu..gpu.saturating_add(1),
        None => 0..client.get::<VmInfo>("/v1/vm")?.gpus,
    };
    let mut watches: Vec<Watch> = gpus.map(Watch::new).collect();
    let events = news(&mut watches, &client)?;
    if output.json && !follow {
        let content = Content { name, events };
        output::json(&Document { schema: "ravelin.events/1", content });
        return Ok(());
    }
    let mut read = print(events, output);
    while follow && read {
        thread::sleep(LOOK);
        match news(&mut watches, &client) {
            Ok(events) => read = print(events, output),
            // The VM has ended, and with it what there was to follow.
            Err(client::Error::Connect(..) | client::Error::Answer(_)) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What is new on all GPUs, in the order in which it happened.
fn news(watches: &mut [Watch], client: &Client) -> Result<Vec<Placed>, client::Error> {
    let mut events = Vec::new();
    for watch in watches {
        let path = format!("/v1/gpus/{}/events?after={}", watch.gpu, watch.before_last());
        let GpuEvents { events: found } = client.get(&path)?;
        events.extend(watch.new_among(found));
    }
    // All GPUs of a VM get their power within the same moment.
    events.sort_by_key(|placed| placed.event.at_us);
    Ok(events)
}

/// Shows events; whether anybody reads on.
fn print(events: Vec<Placed>, output: Output) -> bool {
    events.into_iter().all(|placed| match output.json {
        true => output::json_line(&Document { schema: "ravelin.events/1", content: placed }),
        false => output::line_of_many(in_words(&placed)),
    })
}

fn in_words(Placed { gpu, event }: &Placed) -> String {
    let time = event.at_us as f64 / 1e6;
    let what = printable(&event.event, LONGEST).replace('_', " ");
    let mut line = format!("{time:>12.6} s  gpu {gpu}  {what}");
    for (name, value) in &event.details {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        line += &format!("  {} {}", printable(name, LONGEST), printable(&value, LONGEST));
    }
    if event.repeats > 1 {
        line += &format!("  ({} times)", event.repeats);
    }
    line
}

/// How far the events of one GPU are known.
struct Watch {
    gpu: usize,
    /// The last event, as far as it had grown.
    last: Option<GpuEvent>,
}

impl Watch {
    fn new(gpu: usize) -> Self {
        Self { gpu, last: None }
    }

    /// What to ask for more than.
    fn before_last(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.number.saturating_sub(1))
    }

    /// Of these events, those that are new or have grown.
    fn new_among(&mut self, found: Vec<GpuEvent>) -> Vec<Placed> {
        let known = self.last.take();
        self.last = found.last().cloned().or_else(|| known.clone());
        let is_new = |event: &GpuEvent| known.as_ref() != Some(event);
        let events = found.into_iter().filter(is_new);
        events.map(|event| Placed { gpu: self.gpu, event }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(number: u64, repeats: u64) -> GpuEvent {
        let event = json!({
            "number": number, "at_us": 1_500_000, "repeats": repeats,
            "event": "dma_fault", "engine": "copy-in", "session": 3,
        });
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn an_event_is_shown_once_and_again_only_when_it_has_grown() {
        let mut watch = Watch::new(0);
        assert_eq!(watch.before_last(), 0);
        assert_eq!(watch.new_among(vec![event(1, 1), event(2, 1)]).len(), 2);
        assert_eq!(watch.before_last(), 1);
        assert_eq!(watch.new_among(vec![event(2, 1)]), []);
        let grown = watch.new_among(vec![event(2, 5), event(3, 1)]);
        assert_eq!(grown.iter().map(|placed| placed.event.number).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(watch.new_among(Vec::new()), []);
        assert_eq!(watch.before_last(), 2);
    }

    #[test]
    fn an_event_is_one_line_with_its_fields_and_its_count() {
        let line = in_words(&Placed { gpu: 1, event: event(7, 4) });
        assert_eq!(line, "    1.500000 s  gpu 1  dma fault  engine copy-in  session 3  (4 times)");
    }
}
